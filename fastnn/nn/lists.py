"""ModuleList and ModuleDict: modules by number or name, as attributes of a module that defines only `forward`."""

import sys
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from fastnn import arguments
from fastnn.kernels.dispatch import signatures, validation

from .attributes import structure
from .module import Module


class _Modules(Module):
    """Base class: modules by name, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Module] = {}

    def named_children(self) -> dict[str, Module]:
        return dict(self._modules)

    def _keep(self, modules: Mapping[str, Any]) -> None:
        """Make these the modules of the list or dict."""
        for name, module in modules.items():
            if not isinstance(module, Module):
                raise TypeError(
                    f"{type(self).__name__}: module {name!r} of modules is {validation.brief(module)}; expected a "
                    f"Module; make it one, or keep it in a plain attribute"
                )
        self._modules = dict(modules)
        structure[0] += 1

    def __len__(self) -> int:
        return len(self._modules)


class ModuleList(_Modules):
    """A list of modules, named by their positions.

    modules: an iterable of Modules
    """

    @signatures.checked
    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def _become(self, modules: Iterable[Any]) -> None:
        self._keep({str(position): module for position, module in enumerate(modules)})

    @signatures.checked
    def append(self, module: Module) -> "ModuleList":
        """Append a module. Returns the list.

        module: a Module
        """
        return self.extend([module])

    @signatures.checked
    def extend(self, modules: Iterable[Module]) -> "ModuleList":
        """Append several modules. Returns the list.

        modules: an iterable of Modules
        """
        self._become([*self, *arguments.listed("ModuleList", "modules", modules, "Modules")])
        return self

    @signatures.checked
    def insert(self, index: int, module: Module) -> None:
        """Insert a module before a position.

        index: the position
        module: a Module
        """
        listed = list(self)
        listed.insert(validation.integer("ModuleList.insert", "index", index, -sys.maxsize, sys.maxsize), module)
        self._become(listed)

    def __getitem__(self, index: Any) -> Any:
        found = list(self)[index]
        return ModuleList(found) if isinstance(index, slice) else found

    def __setitem__(self, index: Any, module: Any) -> None:
        listed: list[Any] = list(self)
        listed[index] = module
        self._become(listed)

    def __delitem__(self, index: Any) -> None:
        listed = list(self)
        del listed[index]
        self._become(listed)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())


class ModuleDict(_Modules):
    """A dict of modules by name.

    modules: a mapping of strings to Modules
    """

    @signatures.checked
    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    @signatures.checked
    def update(self, modules: Mapping[str, Module]) -> None:
        """Add modules, or replace those of the same names.

        modules: a mapping of strings to Modules
        """
        modules = arguments.mapping("ModuleDict", "modules", modules, "Modules")
        for name in modules:
            if not isinstance(name, str) or not name or "." in name:
                raise ValueError(
                    f"ModuleDict: the name {validation.brief(name)} in modules does not fit; expected a string without "
                    f"a dot, since it becomes part of the names of parameters; rename the module"
                )
        self._keep({**self._modules, **modules})

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Module]:
        """The names and modules."""
        return self._modules.items()

    def __getitem__(self, name: str) -> Module:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.update({name: module})

    def __delitem__(self, name: str) -> None:
        modules = dict(self._modules)
        del modules[name]
        self._keep(modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: object) -> bool:
        return name in self._modules
