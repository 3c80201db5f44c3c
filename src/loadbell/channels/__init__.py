"""One file per kind of channel, each exporting CHANNEL. Pure: they import the contract, the domain and what is sent."""

import importlib
import pkgutil
from functools import cache
from typing import Any

from loadbell.channels.contract import ChannelType
from loadbell.domain.channels import ChannelKind


@cache
def channel_types() -> dict[ChannelKind, ChannelType[Any]]:
    """Every kind that this installation knows, found among the modules of this package, in the order of the enum."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    values = {module.CHANNEL.kind: module.CHANNEL for module in modules if hasattr(module, "CHANNEL")}
    return {kind: values[kind] for kind in ChannelKind if kind in values}


def channel_type(kind: ChannelKind) -> ChannelType[Any]:
    """The implementation of ``kind``.

    Raises:
        KeyError: no module implements it.
    """
    return channel_types()[kind]
