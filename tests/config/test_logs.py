"""The logging section: every key, what subsystems take over from it, and what is refused."""

from pathlib import Path

import pytest

from tests.config.texts import conf, errors_of, read
from unisono.base.limits import BLACKBOX_BYTES_MIN, LOG_SUBSYSTEMS_MAX, MIB
from unisono.config.settings import LoggingSettings, SubsystemLogging

DEBIAN = Path(__file__).parent / "data" / "debian-corosync.conf"


def section(text: str) -> str:
    return conf(more=f"logging {{\n{text}\n}}")


def logging_of(text: str) -> LoggingSettings:
    return read(section(text)).settings.logging


def warnings_of(text: str) -> list[str]:
    return [line for line in read(section(text)).warnings if "totem.transport" not in line]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", LoggingSettings()),
        ("to_stderr: off\nto_syslog: no", LoggingSettings(to_stderr=False, to_syslog=False)),
        ("debug: on", LoggingSettings(debug="on")),
        ("debug: trace\ntimestamp: off", LoggingSettings(debug="trace", timestamp="off")),
        ("timestamp: on", LoggingSettings(timestamp="on")),
        ("to_logfile: on\nlogfile: /l", LoggingSettings(to_logfile=True, logfile="/l")),
        ("logfile_priority: WARNING", LoggingSettings(logfile_priority="warning")),
        ("syslog_priority: err", LoggingSettings(syslog_priority="error")),
        ("syslog_facility: local3", LoggingSettings(syslog_facility="local3")),
        ("syslog_facility: kern", LoggingSettings(syslog_facility="kern")),
        ("fileline: on", LoggingSettings(fileline=True)),
        ("function_name: on", LoggingSettings(function_name=True)),
        ("format: json", LoggingSettings(format="json")),
        ("blackbox: off", LoggingSettings(blackbox=False)),
        ("blackbox_bytes: 65536", LoggingSettings(blackbox_bytes=65536)),
        ("logging_daemon {\nname: corosync\ndebug: on\n}", LoggingSettings(debug="on")),
        ("logging_daemon {\nname: other\ndebug: on\n}", LoggingSettings()),
        ("logging_daemon {\nname: other\nsubsys: CPG\ndebug: on\n}", LoggingSettings()),
    ],
)
def test_logging_when_a_key_is_given_then_it_becomes_a_setting(
    text: str, expected: LoggingSettings
) -> None:
    assert logging_of(text) == expected
    assert not warnings_of(text) or "blackbox" in text


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("to_stderr: maybe", "f:13: logging.to_stderr: found maybe; allowed: yes, no, on, off"),
        ("to_syslog: 2", "f:13: logging.to_syslog: found 2; allowed: yes, no, on, off"),
        ("debug: yes", "f:13: logging.debug: found yes; allowed: on, off, trace"),
        ("fileline: yes", "f:13: logging.fileline: found yes; allowed: on, off"),
        ("function_name: 1", "f:13: logging.function_name: found 1; allowed: on, off"),
        ("timestamp: yes", "f:13: logging.timestamp: found yes; allowed: off, on, hires"),
        ("blackbox: yes", "f:13: logging.blackbox: found yes; allowed: on, off"),
        ("format: xml", "f:13: logging.format: found xml; allowed: text, json"),
        ("syslog_priority: loud", "f:13: logging.syslog_priority: found loud; allowed: alert"),
        ("logfile_priority: foo", "f:13: logging.logfile_priority: found foo; allowed: alert"),
        ("syslog_facility: foo", "f:13: logging.syslog_facility: found foo; allowed: auth"),
        (
            "blackbox_bytes: 1",
            f"f:13: logging.blackbox_bytes: found 1; allowed: {BLACKBOX_BYTES_MIN}..",
        ),
        ("logger_subsys {\ndebug: on\n}", 'f:13: logging.logger_subsys.subsys: found ""'),
        ("logger_subsys {\nsubsys: A B\n}", "f:14: logging.logger_subsys.subsys: found A B"),
        (
            f"logger_subsys {{\nsubsys: {'X' * 64}\n}}",
            "f:14: logging.logger_subsys.subsys: found XXX",
        ),
        (
            "logger_subsys {\nsubsys: CPG\ndebug: yes\n}",
            "f:15: logging.logger_subsys.debug: found yes; allowed: on, off, trace",
        ),
        ("logging_daemon {\nsubsys: A\n}", 'f:13: logging.logging_daemon.name: found ""'),
    ],
)
def test_logging_when_a_value_is_wrong_then_file_line_key_and_choices_are_named(
    text: str, error: str
) -> None:
    [line] = errors_of(section(text))
    assert line.startswith(error)


def test_subsystem_when_a_key_is_absent_then_the_sections_value_holds() -> None:
    settings = logging_of(
        "to_stderr: no\nto_logfile: yes\nlogfile: /l\nlogfile_priority: warning\n"
        "logger_subsys {\nsubsys: CPG\ndebug: trace\n}\n"
        "logger_subsys {\nsubsys: TOTEM\nlogfile: /t\nsyslog_priority: crit\nto_syslog: no\n}"
    )
    shared = {"to_stderr": False, "to_logfile": True, "logfile_priority": "warning"}
    assert settings.subsystems == (
        SubsystemLogging(**shared, logfile="/l", debug="trace", subsystem="CPG"),
        SubsystemLogging(
            **shared, logfile="/t", syslog_priority="crit", to_syslog=False, subsystem="TOTEM"
        ),
    )


def test_subsystem_when_debug_is_off_in_a_section_that_debugs_then_it_is_off() -> None:
    [cpg] = logging_of("debug: on\nlogger_subsys {\nsubsys: CPG\ndebug: off\n}").subsystems
    assert cpg.debug == "off"


def test_subsystem_when_its_section_stands_before_the_shared_keys_then_they_hold_all_the_same() -> (
    None
):
    [cpg] = logging_of("logger_subsys {\nsubsys: CPG\ndebug: on\n}\nto_syslog: no").subsystems
    assert not cpg.to_syslog


def test_subsystem_when_named_twice_then_the_sections_are_merged_and_the_last_key_wins() -> None:
    [cpg] = logging_of(
        "logger_subsys {\nsubsys: CPG\ndebug: on\nto_syslog: no\n}\n"
        "logging_daemon {\nname: corosync\nsubsys: CPG\ndebug: trace\n}"
    ).subsystems
    assert (cpg.debug, cpg.to_syslog) == ("trace", False)


def test_subsystem_when_unknown_then_it_is_accepted_as_corosync_does() -> None:
    [nope] = logging_of("logger_subsys {\nsubsys: NOPE\ndebug: on\n}").subsystems
    assert nope.subsystem == "NOPE"


@pytest.mark.parametrize(
    ("count", "errors"),
    [(LOG_SUBSYSTEMS_MAX, 0), (LOG_SUBSYSTEMS_MAX + 1, 1), (LOG_SUBSYSTEMS_MAX + 9, 1)],
)
def test_subsystems_when_there_are_too_many_then_one_error_says_so(count: int, errors: int) -> None:
    text = "".join(f"logger_subsys {{\nsubsys: S{n}\n}}\n" for n in range(count))
    assert len(errors_of(section(text))) == errors


def test_facility_when_a_subsystem_sets_it_then_it_is_everybodys_and_a_warning_says_so() -> None:
    text = "logger_subsys {\nsubsys: CPG\nsyslog_facility: local1\n}"
    assert logging_of(text).syslog_facility == "local1"
    [warning] = warnings_of(text)
    assert warning.startswith("f:15: logging.logger_subsys.syslog_facility: local1 is the facility")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("to_logfile: yes", "f:13: logging.to_logfile"),
        (
            "logger_subsys {\nsubsys: CPG\nto_logfile: yes\n}",
            "f:15: logging.logger_subsys.to_logfile",
        ),
        ("to_logfile: yes\nlogger_subsys {\nsubsys: CPG\n}", "f:13: logging.to_logfile"),
    ],
)
def test_logfile_when_it_is_asked_for_without_a_path_then_one_warning_says_so(
    text: str, place: str
) -> None:
    [warning] = warnings_of(text)
    assert warning.startswith(f"{place}: is without effect")


def test_logging_when_debians_file_is_read_then_it_warns_of_nothing_in_it() -> None:
    text = DEBIAN.read_text().replace("127.0.0.1", "192.0.2.1")
    loaded = read(text)
    assert not [line for line in loaded.warnings if "logging" in line]
    assert loaded.settings.logging.logfile == "/var/log/corosync/corosync.log"
    assert loaded.settings.logging.blackbox_bytes == 4 * MIB
