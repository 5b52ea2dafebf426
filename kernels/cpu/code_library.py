"""Machine code of a kernel that does not depend on the kernels compiled or loaded before it.

Numba copies the functions that a kernel calls into the kernel's library, as weak symbols: in a process, every call goes
to the copy that was loaded first. The copies are optimised differently, so their sums may round differently. A process
that compiles its kernels, one that loads them from disk and one that loads them in another order would compute
different bits. Here the copies become private to their library once they are optimised, so that each kernel calls
its own.
"""

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _Library(JITCodeLibrary):
    """The library of one kernel, in which functions of other libraries are private."""

    def _finalize_final_module(self):
        shared = self._final_module.clone()  # for kernels that call this one
        for function in shared.functions:
            if function.linkage == binding.Linkage.external and not function.is_declaration:
                function.linkage = "linkonce_odr"
        self._shared_module = shared
        for function in self._final_module.functions:
            if function.linkage == binding.Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = "private"
        super()._finalize_final_module()


class KernelCompiler(Compiler):
    """Numba's compiler, with a `_Library` for each kernel; Numba makes a library only where there is none."""

    def compile_extra(self, func):
        self.state.library = _Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()  # allows it to be stored on disk
        return super().compile_extra(func)
