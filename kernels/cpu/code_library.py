"""Machine code of a kernel that does not depend on the kernels compiled or loaded before it.

Numba copies the functions that a kernel calls into the kernel's library, as weak symbols: in a process, every call goes
to the copy that was loaded first. The copies are optimised differently, so their sums may round differently. A process
that compiles its kernels, one that loads them from disk and one that loads them in another order would compute
different bits. Here the copies become private to their library once they are optimised, so that each kernel calls
its own.
"""

import contextlib
import gc
from collections.abc import Iterator

from llvmlite import binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from . import background


class _WideLibrary(JITCodeLibrary):
    """A library whose loops use the longest vectors of the processor; LLVM alone halves them on Intel's."""

    def add_ir_module(self, ir_module):
        for function in ir_module.functions:  # llvmlite's own `add` refuses attributes with a value
            set.add(function.attributes, '"prefer-vector-width"="512"')
        super().add_ir_module(ir_module)


class _Library(_WideLibrary):
    """The library of one kernel, in which functions of other libraries are private."""

    def _optimize_final_module(self):
        background.check()
        super()._optimize_final_module()

    def _finalize_final_module(self):
        background.check()
        self._shared_module = _shared(self._final_module.clone())  # for kernels that call this one
        for function in self._final_module.functions:
            if function.linkage == binding.Linkage.linkonce_odr and not function.is_declaration:
                function.linkage = "private"
        super()._finalize_final_module()


class _InlinedLibrary(_WideLibrary):
    """The library of a kernel that other kernels call: optimised with them, and without machine code of its own."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._shared_module = _shared(self._final_module)
        self._finalized = True


def _shared(module):
    """Return a module whose functions may be linked into several others."""
    for function in module.functions:
        if function.linkage == binding.Linkage.external and not function.is_declaration:
            function.linkage = "linkonce_odr"
    return module


class KernelCompiler(Compiler):
    """Numba's compiler, with a `_Library` for each kernel; Numba makes a library only where there is none."""

    def compile_extra(self, func):
        background.check()
        self.state.library = _Library(self.state.targetctx.codegen(), func.__qualname__)
        self.state.library.enable_object_caching()  # allows it to be stored on disk
        with _without_garbage_collection():
            result = super().compile_extra(func)
        for environment in result._find_referenced_environments():  # also those of `InlinedCompiler`
            result.codegen.set_env(environment.env_name, environment)
        return result


class InlinedCompiler(Compiler):
    """Numba's compiler for calls of a kernel from other kernels, which contain its code and are optimised with it.

    Optimisation, machine code and a wrapper for each of these too took a third of the time. Numba's tables need an
    entry point as a key.
    """

    def compile_extra(self, func):
        background.check()
        self.state.flags.no_compile = self.state.flags.no_cpython_wrapper = self.state.flags.no_cfunc_wrapper = True
        self.state.library = _InlinedLibrary(self.state.targetctx.codegen(), func.__qualname__)
        result = super().compile_extra(func)
        self.state.library.finalize()
        result = result._replace(entry_point=object(), reload_init=list(self.state.library._reload_init))
        self.state.targetctx.insert_user_function(result.entry_point, result.fndesc, [self.state.library])
        return result


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Collect no garbage meanwhile: searching the compiler's many objects, few of which are garbage, takes a tenth."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
