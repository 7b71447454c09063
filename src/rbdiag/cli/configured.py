"""What the settings file says, for the commands: a mistake in it ends the program with its own exit status."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rbdiag.cli.streams import SETTINGS, Stop

if TYPE_CHECKING:
    from rbdiag.settings import Settings, Target


def settings_of(file: str | None) -> Settings:
    """The settings from this file, or from where they usually are."""
    from rbdiag.settings import SettingsError, load

    try:
        return load(file, os.environ)
    except SettingsError as error:
        raise Stop(SETTINGS, str(error)) from error


def service_of(name: str, settings: Settings) -> str:
    """The unit that is meant: that of a target of this name, else the name itself."""
    target = settings.targets.get(name)
    return target.service if target and target.service else name


def target_of(name: str, runbook: str, settings: Settings) -> Target | None:
    """The target of this name, where it is one for this runbook; None where the name is to be taken as it stands."""
    target = settings.targets.get(name)
    return target if target and target.runbook in (None, runbook) else None
