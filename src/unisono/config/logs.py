"""Logs: the logging section and its subsystems to settings.

Counterpart: corosync exec/logconfig.c.
Keeps:       a subsystem has the values of `logging` where its own section is silent; the syslog
             facility is one for all lines, and the last one given wins.
"""

from typing import Final

from unisono.base.limits import LOG_SUBSYSTEMS_MAX
from unisono.config.document import Block, Document
from unisono.config.problems import Report
from unisono.config.settings import LoggingSettings, LogTargets, SubsystemLogging

_DAEMON: Final = "corosync"
"""`logging_daemon.name` that means us; sections of other daemons are none of our business."""
_LEVEL_NAMES: Final = {"err": "error"}


def logging_settings(document: Document, report: Report) -> LoggingSettings:
    """Settings of the whole section; warns about what cannot have its effect."""
    top = document.section("logging")
    facility = top.text("syslog_facility")
    shared = _targets(top, None, report)
    subsystems = _subsystems(document, report)
    for block in subsystems.values():
        if "syslog_facility" in block.given:
            facility = _facility(block, facility, report)
    return LoggingSettings(
        to_stderr=shared.to_stderr,
        to_syslog=shared.to_syslog,
        to_logfile=shared.to_logfile,
        logfile=shared.logfile,
        logfile_priority=shared.logfile_priority,
        syslog_priority=shared.syslog_priority,
        debug=shared.debug,
        subsystems=tuple(
            _subsystem(name, _targets(block, top, report)) for name, block in subsystems.items()
        ),
        syslog_facility=facility,
        timestamp=top.text("timestamp"),
        fileline=top.switch("fileline"),
        function_name=top.switch("function_name"),
        format=top.text("format"),
        blackbox=top.switch("blackbox"),
        blackbox_bytes=top.number("blackbox_bytes"),
    )


def _subsystems(document: Document, report: Report) -> dict[str, Block]:
    """Sections about our subsystems by name; several about one of them are merged."""
    found: dict[str, Block] = {}
    for block in document.extras:
        ours = block.path == "logging.logger_subsys" or (
            block.path == "logging.logging_daemon" and block.text("name") == _DAEMON
        )
        name = block.text("subsys") if ours else ""
        if not name:
            continue
        merged = found.setdefault(name, Block("logging.logger_subsys", block.place))
        merged.given.update({key: given for key, given in block.given.items() if key != "name"})
        if len(found) == LOG_SUBSYSTEMS_MAX + 1 and merged.place is block.place:
            report.error(
                block.place,
                "logging.logger_subsys",
                f"found one more than {LOG_SUBSYSTEMS_MAX}; allowed: {LOG_SUBSYSTEMS_MAX}",
            )
    return found


def _targets(block: Block, outer: Block | None, report: Report) -> LogTargets:
    """Values in force of one section; `outer` answers for what it does not say."""

    def source(key: str) -> Block:
        return outer if outer is not None and key not in block.given else block

    to_logfile = source("to_logfile").switch("to_logfile")
    logfile = source("logfile").text("logfile")
    if to_logfile and not logfile:
        to_logfile = False
        if "to_logfile" in block.given:  # else the outer section has its warning already
            report.warning(
                block.place_of("to_logfile"),
                f"{block.path}.to_logfile",
                f"is without effect, because {block.path}.logfile names no file",
            )
    return LogTargets(
        to_stderr=source("to_stderr").switch("to_stderr"),
        to_syslog=source("to_syslog").switch("to_syslog"),
        to_logfile=to_logfile,
        logfile=logfile,
        logfile_priority=_level(source("logfile_priority").text("logfile_priority")),
        syslog_priority=_level(source("syslog_priority").text("syslog_priority")),
        debug=source("debug").text("debug"),
    )


def _subsystem(name: str, targets: LogTargets) -> SubsystemLogging:
    return SubsystemLogging(
        to_stderr=targets.to_stderr,
        to_syslog=targets.to_syslog,
        to_logfile=targets.to_logfile,
        logfile=targets.logfile,
        logfile_priority=targets.logfile_priority,
        syslog_priority=targets.syslog_priority,
        debug=targets.debug,
        subsystem=name,
    )


def _facility(block: Block, before: str, report: Report) -> str:
    facility = block.text("syslog_facility")
    if facility != before:
        report.warning(
            block.place_of("syslog_facility"),
            f"{block.path}.syslog_facility",
            f"{facility} is the facility of every line: syslog has one for the whole daemon",
        )
    return facility


def _level(word: str) -> str:
    return _LEVEL_NAMES.get(word, word)
