"""Reading /proc."""

import os
import sys

import pytest

from load_tests.procfs import Process, machine_ticks, parse_cpu_ticks, parse_machine_ticks, parse_peak_kib

FIELDS_FROM_3 = "S 1 1 1 0 -1 4194560 900 0 0 0 {user} {system} 7 7 20 0 1 0 100 1000 200"


def test_user_and_system_time_are_added() -> None:
    assert parse_cpu_ticks("42 (python) " + FIELDS_FROM_3.format(user=120, system=30)) == 150


def test_a_process_name_may_hold_blanks_and_brackets() -> None:
    assert parse_cpu_ticks("42 (a) b (c) 9) " + FIELDS_FROM_3.format(user=1, system=2)) == 3


def test_the_peak_is_the_high_water_mark() -> None:
    assert parse_peak_kib("Name:\tpython\nVmPeak:\t  999 kB\nVmHWM:\t   61440 kB\nVmRSS:\t 50000 kB\n") == 61_440


def test_a_status_without_a_peak_is_an_error() -> None:
    with pytest.raises(ValueError, match="VmHWM"):
        parse_peak_kib("Name:\tkthreadd\n")


def test_waiting_for_a_disk_is_idle_and_guest_time_counts_once() -> None:
    assert parse_machine_ticks("cpu  10 1 5 70 4 0 1 9 6 6\ncpu0 1 2 3\n") == (74, 100)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux'")
def test_this_process_is_seen() -> None:
    process = Process("me", os.getpid())
    assert process.cpu_s() > 0
    assert process.peak_mib() > 1
    idle, total = machine_ticks()
    assert 0 <= idle <= total
