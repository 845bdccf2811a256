"""Our ``dataclass`` against that of the standard library, by the same uses of both."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from trio_supervisor.core import dataclass as light

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[..., Callable[[type], type]]


class Classes:
    """The same classes, made by one of the two decorators."""

    def __init__(self, dataclass: Decorator) -> None:
        class Base:
            """Text of the class."""

            kind: ClassVar[str] = "base"
            x: int
            y: int = 2

            @property
            def total(self) -> int:
                return self.x + self.y

        class Derived:
            words: list[str] = field(default_factory=list)
            note: str = field(default="", compare=False, repr=False)

        class Changeable:
            a: int
            made: int = field(init=False)

            def __post_init__(self) -> None:
                self.made = self.a + 1

        class Identity:
            a: int = 1

        self.base: Any = dataclass(frozen=True, slots=True)(Base)
        derived = type("Derived", (self.base,), _body(Derived))
        self.derived: Any = dataclass(frozen=True, slots=True)(derived)
        self.inherited: Any = type("Inherited", (self.derived,), {"__slots__": ()})
        self.changeable: Any = dataclass(slots=True)(Changeable)
        self.identity: Any = dataclass(frozen=True, slots=True, eq=False)(Identity)


def _body(cls: type) -> dict[str, object]:
    return {k: v for k, v in cls.__dict__.items() if k not in ("__dict__", "__weakref__")}


BOTH = pytest.mark.parametrize(
    "classes",
    [Classes(dataclasses.dataclass), Classes(light.dataclass)],
    ids=["dataclasses", "ours"],
)


@BOTH
def test_instances_have_the_fields_that_were_given_and_defaults(classes: Classes) -> None:
    assert (classes.base(1).x, classes.base(1).y, classes.base(1, y=3).total) == (1, 2, 4)
    one, other = classes.derived(1), classes.derived(1)
    assert one.words == []
    assert one.words is not other.words
    assert classes.derived(1, 2, ["w"], note="n").note == "n"
    assert classes.inherited(1, words=["w"]).words == ["w"]
    assert classes.changeable(1).made == 2


@BOTH
@pytest.mark.parametrize(
    "arguments", [{}, {"x": 1, "z": 2}], ids=["one is missing", "one is unknown"]
)
def test_wrong_arguments_are_refused(classes: Classes, arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="__init__"):
        classes.base(**arguments)
    with pytest.raises(TypeError, match="__init__"):  # also after the first
        classes.base(1, 2, 3)


@BOTH
def test_equal_are_instances_of_the_same_class_with_equal_fields(classes: Classes) -> None:
    assert classes.base(1) == classes.base(1, 2) != classes.base(1, 3)
    assert classes.derived(1) == classes.derived(1, note="other")
    assert classes.base(1) != classes.derived(1)
    assert classes.changeable(1) == classes.changeable(1)
    assert classes.identity() != classes.identity()


@BOTH
def test_frozen_ones_have_the_hash_of_their_fields(classes: Classes) -> None:
    assert hash(classes.base(1)) == hash(classes.base(1, 2))
    assert len({classes.base(1), classes.base(1), classes.base(2)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(classes.changeable(1))
    assert len({classes.identity(), classes.identity()}) == 2


@BOTH
def test_frozen_ones_cannot_be_changed(classes: Classes) -> None:
    with pytest.raises(FrozenInstanceError):
        classes.base(1).x = 2
    with pytest.raises(FrozenInstanceError):
        del classes.derived(1).x
    changeable = classes.changeable(1)
    changeable.a = 2
    assert changeable.a == 2


@BOTH
def test_the_text_shows_the_fields(classes: Classes) -> None:
    assert repr(classes.base(1)).endswith("Base(x=1, y=2)")
    assert repr(classes.derived(1)).endswith("(x=1, y=2, words=[])")


@BOTH
def test_fields_replace_copies_and_patterns_work(classes: Classes) -> None:
    assert [field.name for field in fields(classes.derived)] == ["x", "y", "words", "note"]
    assert replace(classes.base(1), y=5) == classes.base(1, 5)
    assert copy.copy(classes.base(1)) == copy.deepcopy(classes.base(1)) == classes.base(1)
    assert classes.base.__match_args__ == ("x", "y")
    assert classes.base.__doc__ == "Text of the class."
    assert not hasattr(classes.base(1), "__dict__")


@light.dataclass(frozen=True, slots=True)
class Pickled:
    """One that can be found by its name."""

    x: int
    y: tuple[int, ...] = ()


def test_instances_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled(1, (2,)))) == Pickled(1, (2,))


def test_dataclasses_of_the_standard_library_can_be_derived() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Derived(Pickled):
        z: int = 3

    assert repr(Derived(1, z=4)).endswith("Derived(x=1, y=(), z=4)")
    assert (Derived(1), hash(Derived(1))) == (Derived(1), hash(Derived(1)))
    with pytest.raises(FrozenInstanceError):
        Derived(1).x = 2  # type: ignore[misc]  # that it is refused is tested

    class Changeable(Pickled):
        """Not decorated yet."""

    with pytest.raises(TypeError, match="cannot inherit non-frozen"):
        dataclasses.dataclass(Changeable)


def test_methods_of_a_class_are_kept() -> None:
    @light.dataclass(frozen=True, slots=True)
    class Own:
        x: int

        def __repr__(self) -> str:
            return "own"

        def __hash__(self) -> int:
            return 7

    assert (repr(Own(1)), hash(Own(1))) == ("own", 7)
