"""Mistakes in what Qt calls back, kept from ending the program.

Under Python 3.11 an error that C code raises, such as an index out of range, becomes an exception object only where it is caught. PySide
6.10 takes it for one when it leaves a Python override of one of Qt's functions that was itself called from Python, as through
`setFocus`, a model's `rowCount` or `QTest`, and crashes (in `storePythonOverrideErrorOrPrint`). So an override is given an ``except``
as its class is made, and the error goes where others go. Python 3.12 makes the object at once.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FunctionType, MethodDescriptorType
from typing import Any

from PySide6.QtCore import QMetaMethod, QObject
from shiboken6 import Shiboken


def watch_overrides() -> None:
    """Give overrides of Qt's functions an ``except``, in classes made from now on.

    Slots go without: PySide counts their parameters to know how many of the signal's they take, and could not count these. So does what
    a class has from one that is none of Qt's.
    """
    if sys.version_info < (3, 12):
        Shiboken.Object.__init_subclass__ = classmethod(_watch)


def _watch(cls: type, **options: Any) -> None:
    super(Shiboken.Object, cls).__init_subclass__(**options)
    bases = [base for base in cls.__mro__[1:] if base.__module__.startswith("PySide6.")]
    for name, function in list(vars(cls).items()):
        if (
            isinstance(function, FunctionType)
            and any(isinstance(vars(base).get(name), MethodDescriptorType) for base in bases)
            and not any(name in _slots(base) for base in bases if issubclass(base, QObject))
        ):
            setattr(cls, name, _caught(function))


@functools.cache
def _slots(base: type[QObject]) -> frozenset[str]:
    told = base.staticMetaObject
    methods = [told.method(index) for index in range(told.methodOffset(), told.methodCount())]
    return frozenset(method.name().toStdString() for method in methods if method.methodType() == QMetaMethod.MethodType.Slot)


def _caught(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def override(*values: Any, **named: Any) -> Any:
        try:
            return function(*values, **named)
        except BaseException:
            raise

    return override
