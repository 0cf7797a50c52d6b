"""Problems: what is wrong with a configuration, collected so that all of it is told at once.

Keeps:       each text is one line: `file:line: section.key: found X; allowed Y`.
"""

from typing import NoReturn

from unisono.base.errors import ConfigError
from unisono.base.limits import CONFIG_ERRORS_MAX, CONFIG_WARNINGS_MAX
from unisono.config.grammar import Place


class ConfigErrors(ConfigError):
    """The configuration is refused; `errors` holds one line for each fault, at least one."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Report:
    """Collects errors and warnings about the configuration file `file`."""

    __slots__ = ("_kept", "_more", "errors", "file")

    def __init__(self, file: str) -> None:
        self.file = file
        self.errors: list[str] = []
        self._kept: list[str] = []
        self._more = 0

    @property
    def warnings(self) -> list[str]:
        """Up to CONFIG_WARNINGS_MAX lines, and one that counts the rest."""
        rest = [f"{self.file}: {self._more} more warnings are not shown"] if self._more else []
        return self._kept + rest

    @property
    def has_room(self) -> bool:
        """Whether another warning would be shown: work on its text is worth while."""
        return len(self._kept) < CONFIG_WARNINGS_MAX

    def error(self, place: Place | None, what: str, reason: str) -> None:
        """Note a fault of `what` (`section.key`), at `place` or in the file as a whole."""
        self.errors.append(f"{place or self.file}: {what}: {reason}")

    def warning(self, place: Place | None, what: str, reason: str) -> None:
        """Note something that is accepted but that somebody should know."""
        self.note(f"{place or self.file}: {what}: {reason}")

    def note(self, line: str) -> None:
        """Keep a whole line of warning while there is room; count it otherwise."""
        if self.has_room:
            self._kept.append(line)
        else:
            self._more += 1

    def refuse(self) -> NoReturn:
        """Raise ConfigErrors with what was collected, up to CONFIG_ERRORS_MAX lines."""
        more = len(self.errors) - CONFIG_ERRORS_MAX
        lines = self.errors[:CONFIG_ERRORS_MAX]
        if more > 0:
            lines.append(f"{self.file}: {more} more errors are not shown")
        raise ConfigErrors(lines)
