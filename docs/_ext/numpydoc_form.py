"""The docstrings of fastnn in numpydoc's form: what `plain_docstrings` renders on pages, sorted into its sections.

    Compute the mean.                             Compute the mean.

    x (N, D): an array                            Parameters
    Returns an array (N,); 0 without columns.     ----------
                                                  x : ndarray, shape (N, D)
                                                      An array.

                                                  Returns
                                                  -------
                                                  ndarray
                                                      An array (N,); 0 without columns.

Types are annotations and shapes. A first sentence "Return ...", "Compute ..." or "The ..." describes the result. What a
docstring does not say of a parameter is taken from functions that it names ("arguments of `conv2d_forward`"), and so is
the result, if it begins with that name or says "results as of" it; else from a sentence at its beginning that gives the
shape of the parameter. Base classes say what a class does not, and methods without a docstring have theirs.
tests/architecture/test_numpydoc.py validates the form of every public name.
"""

import functools
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import plain_docstrings as plain

ORDER = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Notes", "References", "Examples")
_SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)(?<!&)\s+(?=[A-Z`\"\d(])")
_NAMED_ERROR = r"(?:an? )?`?\w*(?:Error|Unavailable|Interrupt|Warning|BrokenExecutor)`?"
_ERROR = re.compile(rf"(?:^|, |; |, and | and )({_NAMED_ERROR}(?:(?:, | or |, or | and ){_NAMED_ERROR})*)(?=[ ,.;:]|$)")
_RESULT = re.compile(r"(Returns|Yields)\b(?: *:)? +(.*)", re.DOTALL)
_RESULT_FIRST = re.compile(r"(?:Return|Compute|Read|Generate) (.+)|((?:The|An?|Whether|Gradients?) .+)", re.DOTALL)
_AS = re.compile(r"(?:\A|(?<=`, )|(?<=` and )|\b(?:as|by|in|of|see|then)\s)`([A-Za-z_][\w.]*)`", re.IGNORECASE)
_INPUTS = re.compile(r"Inputs(?: \(([^()]*)\))?: *(.*)")
GLOSSARY = {  # of a parameter for which a docstring gives only a shape
    "x": "The input.",
    "w": "The weights.",
    "b": "The bias.",
    "gamma": "The scale.",
    "beta": "The shift.",
    "mean": "The mean to subtract.",
    "var": "The variance to divide by.",
    "dout": "The gradient of the loss with respect to the result of the forward pass.",
}


def numpydoc(documented: Any, example: str = "") -> str:
    """Convert the docstring of a function or class to numpydoc's form; an empty text if there is none."""
    docstring = _docstring(documented)
    return _Form(documented, docstring).text(example) if docstring else ""


class _Form:
    """The parts of one docstring."""

    def __init__(self, documented: Any, docstring: str, known: frozenset[str] = frozenset()) -> None:
        self.is_class = inspect.isclass(documented)
        self.signature = _signature(documented)
        self.stars = {name.lstrip("*"): name for name in map(_starred, self.signature.parameters.values())}
        one = rf"\*{{0,2}}(?:{'|'.join([*self.stars, '(?!)'])})\b(?: \([^()]*\))?"
        self.names = re.compile(rf"({one}(?:(?:, | and | or ){one})*)(?: +|, |: *|$)(.*)")
        self.next = re.compile(rf"(?<=[\w)]), (?={one}(?<=\)))|(?<=[\w)]), (?={one}:)")
        name = f"(?:{'|'.join([*self.stars, '(?!)'])})"
        self.bounds = re.compile(rf"(?:\S+ <=? )?({name}(?:(?:, | and ){name})*) [<>]=? \S+")
        self.further = re.compile(rf"; (?={one}(?:(?:, | and | or ){one})*:)")
        self.mentioned = re.compile(rf"\b({one}(?<=\)))") if self.signature.parameters else None
        self.documented_parameters: dict[str, tuple[str, str]] = {}
        self.parts: dict[str, list[str]] = defaultdict(list)
        lines = plain._unwrapped([line.rstrip() for line in docstring.splitlines()])
        summary, position = plain._take(lines, 1, lambda one: bool(one) and not plain._starts(one.strip()))
        self.summary, *others = _SENTENCE.split("\n".join([lines[0], *(line.strip() for line in summary)]))
        self.sentences(_joined(other) for other in others)
        self.blocks(lines[position:])
        said = self.parts["Returns"] or self.parts["Yields"] or self.is_class
        if not said and (result := _RESULT_FIRST.fullmatch(_joined(self.summary))):
            yields = inspect.isgeneratorfunction(documented)
            self.result("Yields" if yields else "Returns", result[1] or result[2])
        self.named(documented, docstring, known)
        self.within(_SENTENCE.split(_joined(docstring.partition("\n\n")[0])))

    def within(self, sentences: list[str]) -> None:
        """Let a sentence of the summary that gives the shape of a parameter, `of x (N, D)`, describe it."""
        for sentence in sentences:
            for mention in self.mentioned.findall(sentence) if self.mentioned else ():
                for name, shape in _named(mention):
                    if name not in self.documented_parameters:
                        self.parameters([(name, shape)], sentence)

    def named(self, documented: Any, docstring: str, known: frozenset[str]) -> None:
        """Add what the functions that the docstring names say of the same parameters, and of the result."""
        others = [(name, _resolved(documented, name)) for name in _AS.findall(docstring)]
        bases = documented.__mro__[1:-1] if self.is_class else ()
        for name, other in [*others, *((base.__name__, base) for base in bases)]:
            missing = set(self.stars) - set(self.documented_parameters)
            quoted = f"`{re.escape(name)}`"
            begins = (
                re.search(rf"\A(?:As )?{quoted}|[Rr]esults? as of {quoted}", docstring) and not self.parts["Returns"]
            )
            if name in known or other in (None, documented) or not (missing or begins) or not _docstring(other):
                continue
            form = _Form(other, _docstring(other), known | {name})
            for parameter in missing & set(form.documented_parameters):
                self.documented_parameters[parameter] = form.documented_parameters[parameter]
            if begins and not self.is_class:
                self.parts["Returns"] += form.parts["Returns"]

    def text(self, example: str) -> str:
        """The docstring in numpydoc's form."""
        if example:
            self.parts["Examples"] = [example.strip()]
        self.parts["Parameters"] = [
            f"{self.stars.get(name, name)} : {kind}\n    {text}".rstrip()
            for name, (kind, text) in sorted(self.documented_parameters.items(), key=self.place)
        ]
        text = self.summary
        for title in ORDER:
            if entries := self.parts.get(title):
                gap = "\n\n" if title in ("Notes", "References", "Examples") else "\n"
                text += f"\n\n{title}\n{'-' * len(title)}\n{gap.join(entries)}"
        return f"\n{text}\n" if "\n" in text else text

    def place(self, item: tuple[str, Any]) -> int:
        """The place of a parameter in the signature; after all others if it is not in there."""
        return [*self.stars, item[0]].index(item[0])

    def blocks(self, lines: list[str]) -> None:
        """Sort lines whose smallest indentation is 0 into sections, as `plain_docstrings` reads them."""
        for kind, match, block in plain.parts(lines):
            if kind == "code":
                self.parts["Notes"].append(re.sub(r"\n{2,}", "\n", "\n".join(block)))
            elif kind == "further":
                self.blocks(plain._dedented(block))
            elif kind == "section":
                self.section(match, plain._dedented(block))
            elif kind == "item":
                self.item(match, plain._dedented(block))
            elif kind == "prose":
                self.sentences(_SENTENCE.split(_joined("\n".join(block))))

    def section(self, section: re.Match, block: list[str]) -> None:
        label = section[1] or section[2]
        if label == "Inputs":
            own, further = plain.wrapped(section[3], block)
            self.inputs(_joined(own))
            self.blocks(further)
            return
        text = _joined("\n".join([section[3], *block]))
        if label in ("Returns", "Yields", "Raises"):
            self.sentences(_SENTENCE.split(f"{label} {text}"))
        else:
            self.parts["References" if label.startswith("Source") else "Notes"].append(f"{label}: {text}")

    def item(self, item: re.Match, block: list[str]) -> None:
        """Add lines `name: text`: parameters, else attributes of a class or a note."""
        own, further = plain.wrapped(item[2], block)
        text = "; ".join(filter(None, [_joined(own), *map(_joined, further)]))
        names = _named(item[1])
        if item[1].startswith("Inputs"):
            self.sentences([f"{item[1]}: {text}"])
        elif {name for name, _ in names} & set(self.stars):
            first, *others = self.further.split(text)
            self.parameters(names, first)
            for other in others:
                self.inputs(other)
        elif self.is_class:
            self.parts["Attributes"].append(f"{', '.join(name for name, _ in names)} : {_shape(names)}\n    {text}")
        else:
            self.parts["Notes"].append(f"{item[1]}: {text}")

    def inputs(self, text: str) -> None:
        """Add inputs in a line, `x (N, D), w (D, M) as given to ...; need_dx: ...`, and the sentences after them."""
        inputs, *others = _SENTENCE.split(text)
        for group in inputs.removesuffix(".").split("; "):
            text = ""
            for part in reversed(self.next.split(group)):  # `x, w as given`: both are as given
                found = None if self.bounds.fullmatch(part) else self.names.fullmatch(part)
                text = (found[2] if found else part) or text
                if found:
                    self.parameters(_named(found[1]), text)
                elif bounds := self.bounds.fullmatch(part):
                    for one, shape in _named(bounds[1]):
                        self.parameters([(one, shape)], f"A number, {part.replace(bounds[1], one)}.")
                elif part:
                    self.parts["Notes"].append(part)
        self.sentences(others)

    def parameters(self, names: list[tuple[str, str]], text: str) -> None:
        for name, shape in names:
            known = self.signature.parameters.get(name)
            kind = ", ".join(part for part in (_annotation(known), shape and f"shape {shape}") if part) or "array_like"
            self.documented_parameters[name] = kind, _sentence(text) or GLOSSARY.get(name, "")

    def sentences(self, sentences: Iterable[str]) -> None:
        """Sort sentences: what a function returns or raises, or a note; sentences after that belong to it."""
        add: Callable[[str], None] = self.parts["Notes"].append
        notes: list[str] = []
        for sentence in sentences:
            if result := _RESULT.fullmatch(sentence):
                self.result(result[1], result[2])
            elif sentence.startswith("Raises "):
                self.errors(sentence.removeprefix("Raises "))
            elif inputs := _INPUTS.fullmatch(sentence):
                notes += [f"Inputs: {inputs[1]}."] if inputs[1] else []
                self.inputs(inputs[2])
            elif sentence:
                notes.append(sentence)
        if notes:
            add(" ".join(notes))

    def result(self, label: str, text: str) -> None:
        title = "Yields" if label.startswith("Yield") else "Returns"
        if self.parts[title]:
            self.parts[title][0] += f" {_sentence(text)}"
        else:
            self.parts[title].append(
                f"{_annotation(self.signature, 'return_annotation') or 'object'}\n    {_sentence(text)}"
            )

    def errors(self, text: str) -> None:
        first, *parts = _ERROR.split(re.sub(r"^also:? ", "", text))
        if not parts or first:
            parts = ["Exception", text]
        for errors, when in zip(parts[::2], parts[1::2], strict=True):
            for error in re.findall(r"[A-Z]\w+", errors):
                self.parts["Raises"].append(f"{error}\n    {_sentence(when.strip(' ,;'))}".rstrip())


def _docstring(documented: Any) -> str:
    own = documented.__doc__ if inspect.isclass(documented) else inspect.getdoc(documented)
    return inspect.cleandoc(own or "")


def _resolved(documented: Any, name: str) -> Any:
    """What a docstring means by a name: a method of the same class, a name in its module, or a kernel."""
    module = sys.modules.get(getattr(documented, "__module__", ""))
    owner = getattr(module, getattr(documented, "__qualname__", "").rpartition(".")[0], None)
    kernels = (kernel for path, kernel in sorted(sys.modules.items()) if re.fullmatch(r"fastnn\.kernels\.\w+", path))
    for start in (owner, documented, module, *kernels):
        try:
            value = functools.reduce(getattr, name.split("."), start)
        except AttributeError:
            continue
        if inspect.isroutine(value) or inspect.isclass(value):
            return value
    return None


def _signature(documented: Any) -> inspect.Signature:
    try:
        return inspect.signature(documented)
    except (TypeError, ValueError):
        return inspect.Signature()


def _starred(parameter: inspect.Parameter) -> str:
    return {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "") + parameter.name


def _annotation(of: Any, field: str = "annotation") -> str:
    """The type of a parameter or result; without annotation that of the default."""
    if of is None:
        return ""
    if (annotation := getattr(of, field)) is not inspect.Parameter.empty:
        text = inspect.formatannotation(annotation)
        return re.sub(r"\b(?:\w+\.)+(?=\w)", "", "array_like" if "numpy._typing" in text else text)
    default = getattr(of, "default", None)
    return type(default).__name__ if isinstance(default, bool | int | float | str) else ""


def _named(text: str) -> list[tuple[str, str]]:
    """Names and shapes of `x (N, D), w (D, M)`; a shape belongs to the names before it that have none."""
    found = re.findall(
        r'\*{0,2}([A-Za-z_]\w*)(?:\(\w+(?:, \w+)*\))?(?:\[[^\]]*\])?(?: (\([^()]*\)))?(?:, | and | or |$)|"[^"]+"', text
    )
    return [(name, shape) for name, shape in found if name]


def _shape(names: list[tuple[str, str]]) -> str:
    return next((shape for _, shape in names if shape), "attribute")


def _joined(text: str) -> str:
    return " ".join(text.split())


def _sentence(text: str) -> str:
    """Text that begins with a capital letter and ends with a period."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith('.') else '.'}" if text else ""
