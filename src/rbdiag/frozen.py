"""Frozen records that cost next to nothing to define.

The standard library's dataclasses write and compile the methods of each class when it is defined, 0.4 ms a class; with
our fifty records that was a quarter of a whole run. Here the methods exist once and serve all of them. Type checkers
see dataclasses (PEP 681), and so do `dataclasses.fields` and `dataclasses.replace`, which are made to work on demand.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, dataclass_transform


class _Fields:
    """The fields as the standard library wants them, made the first time that somebody asks."""

    def __get__(self, record: object, kind: type[_Frozen]) -> dict[str, Any]:
        from dataclasses import field, make_dataclass

        def spec(name: str) -> Any:
            if name not in kind._defaults:
                return field()
            default = kind._defaults[name]
            # dataclasses take an unhashable default for a mutable one; ours are never changed
            return field(default_factory=lambda: default) if type(default).__hash__ is None else field(default=default)

        specs = [(name, Any, spec(name)) for name in kind._names]
        made: Any = make_dataclass(kind.__name__, specs, kw_only=True)
        return dict(made.__dataclass_fields__)


class _Frozen:
    _names: ClassVar[tuple[str, ...]] = ()
    _defaults: ClassVar[dict[str, Any]] = {}
    __dataclass_fields__: ClassVar[Any] = _Fields()

    def __init_subclass__(cls) -> None:
        own = [name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar")]
        cls._names = tuple(dict.fromkeys((*cls._names, *own)))
        cls._defaults = cls._defaults | {name: vars(cls)[name] for name in own if name in vars(cls)}

    def __init__(self, *values: Any, **named: Any) -> None:
        state = self._defaults | dict(zip(self._names, values, strict=False)) | named
        if len(values) > len(self._names) or len(state) != len(self._names) or state.keys() - self._names:
            wrong = state.keys() ^ set(self._names)
            raise TypeError(
                f"{type(self).__name__}: missing or unknown: {', '.join(sorted(wrong)) or 'too many values'}"
            )
        self.__dict__.update(state)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._names)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._names)})"

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """The names of the fields, inherited ones first."""
        return cls._names

    @classmethod
    def field_defaults(cls) -> dict[str, Any]:
        """The defaults of those fields that have one."""
        return dict(cls._defaults)


@dataclass_transform(frozen_default=True)
class Record(_Frozen):
    """The base of records that are made by position or by name."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
class NamedRecord(_Frozen):
    """The base of records that are made by name only, so that a subclass may add fields without defaults."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)


T = TypeVar("T", bound=_Frozen)


def replace(record: T, **changes: Any) -> T:
    """The same record with some fields changed."""
    return type(record)(**(record.__dict__ | changes))
