"""One file per kind of channel, each exporting CHANNEL. Pure: they import the contract, the domain and what is sent."""

import importlib
import pkgutil
from functools import cache
from typing import Any

from loadbell.channels.contract import ChannelType
from loadbell.domain.channels import ChannelKind


@cache
def channel_types() -> dict[ChannelKind, ChannelType[Any]]:
    """Every kind that this installation knows, by the modules of this package, in the order of their sections."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    kinds = [module.CHANNEL for module in modules if hasattr(module, "CHANNEL")]
    return {kind.kind: kind for kind in sorted(kinds, key=lambda kind: (kind.section, kind.kind))}


def channel_type(kind: ChannelKind) -> ChannelType[Any]:
    """The implementation of ``kind``.

    Raises:
        KeyError: no module implements it.
    """
    return channel_types()[kind]
