"""The pipeline benchmark counts the right processes, and misses a target that was missed."""

from __future__ import annotations

from tests.bench.pipeline import QUICK, percentiles_ms, report_of
from tests.bench.pipeline_mesh import groups_of
from tests.bench.pipeline_runs import Run
from tests.bench.pipeline_stored import StoredRun, stored_figures, stored_report
from tests.bench.process_times import ProcessTime, parse_stat, used_s, with_children_s

# A name may hold spaces and parentheses; 14 and 15 are the process's own ticks, 16 and 17 its children's.
_STAT = "42 (a) (b c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 300 100 20 0 1 0 99 1000 10"


def _run(cpu_s: float, payments: int = 100, per_s: float = 5_000.0, age_s: float = 0.1) -> Run:
    return Run(payments, per_s, [age_s] * payments, {"worker": cpu_s / 2, "postgres": cpu_s / 2}, 7)


def _runs(**others: Run) -> dict[str, Run]:
    names = ("one_worker", "two_workers", "hot_account", "open_loop", "few_stored", "many_stored", "mesh")
    return dict.fromkeys(names, _run(0.05)) | {"one_at_a_time": _run(0.5)} | others


_BESIDE_FEW = 1_000
_BESIDE_MANY = 100_000


def _stored(stored: int, *, cpu_s: float = 0.05, pages: int = 20_000, scanned: int = 0) -> StoredRun:
    counted = {
        "pages": pages, "scanned": scanned, "wal_bytes": 1_000_000, "wal_fpi": 0, "commits": 7,
        "updates": 800, "hot": 300,
    }  # fmt: skip
    bytes_ = {"tables": 500_000, "indexes": 100_000}
    return StoredRun(stored, _run(cpu_s), counted, bytes_, bytes_, [("payments.event", 9_000_000, 8_000_000)])


_FLAT = stored_figures(_stored(_BESIDE_FEW), _stored(_BESIDE_MANY))


def test_cpu_times_are_read_behind_the_last_parenthesis() -> None:
    assert ProcessTime(7, 2.0, 4.0) == parse_stat(_STAT, 100)


def test_a_process_that_came_meanwhile_counts_whole_and_one_that_ended_not_at_all() -> None:
    before = {1: ProcessTime(0, 1.0), 2: ProcessTime(0, 5.0)}
    after = {1: ProcessTime(0, 4.0), 3: ProcessTime(0, 0.5)}

    assert {"a": 3.5, "b": 0.0} == used_s({"a": {1, 3}, "b": {2}}, before, after)


def test_what_ended_children_used_stays_with_their_parent() -> None:
    before = {1: ProcessTime(0, 1.0), 2: ProcessTime(1, 5.0), 9: ProcessTime(0, 50.0)}
    after = {1: ProcessTime(0, 1.5, 7.0), 3: ProcessTime(1, 0.25), 9: ProcessTime(0, 70.0)}

    assert 6.0 == with_children_s(before, 1)
    assert 8.75 == with_children_s(after, 1)


def test_only_processes_that_payments_pass_through_are_counted() -> None:
    running = {
        "payments": 1, "payments-sidecar": 2, "banks": 3, "banks-sidecar": 4, "bank-alpha": 5, "gateway": 6,
        "card-network": 7, "gateway-sidecar": 8, "nats": 9, "fraud": 10,
    }  # fmt: skip

    assert {
        "worker": {1}, "sidecars": {2, 4}, "banks": {3}, "simulators": {5, 7}, "fraud": {10},
    } == groups_of(running)  # fmt: skip


def test_ratios_compare_the_cost_of_one_payment() -> None:
    report = report_of(
        _runs(), QUICK, stored_figures(_stored(_BESIDE_FEW), _stored(_BESIDE_MANY, cpu_s=0.06))
    )

    assert 500.0 == report.figures["one_worker_cpu_us_per_payment"]
    assert 250.0 == report.figures["one_worker_postgres_us_per_payment"]
    assert 10.0 == report.figures["batch_cpu_ratio"]
    assert 1.2 == round(report.figures["stored_cpu_ratio"], 9)
    assert 0.07 == report.figures["mesh_transactions_per_payment"]
    assert [] == report.missed()


def test_targets_are_missed_by_slow_runs_late_payments_and_growing_cost() -> None:
    slow = report_of(
        _runs(
            one_worker=_run(0.05, per_s=2_999), mesh=_run(1, per_s=599), hot_account=_run(1, per_s=299),
            open_loop=_run(1, age_s=1.1),
        ),
        QUICK,
        stored_figures(
            _stored(_BESIDE_FEW), _stored(_BESIDE_MANY, cpu_s=0.063, pages=26_000, scanned=130)
        ),
    )  # fmt: skip

    assert [
        "one_worker_payments_per_s", "mesh_payments_per_s", "hot_account_payments_per_s", "open_loop_p99_ms",
        "stored_cpu_ratio", "stored_pages_ratio", "stored_scanned_ratio",
    ] == [target.figure for target in slow.missed()]  # fmt: skip


def test_the_stored_part_alone_shows_each_measure_beside_few_and_many() -> None:
    report = stored_report(_stored(_BESIDE_FEW), _stored(_BESIDE_MANY, pages=22_000))
    rows = {row[0]: row[1:] for row in report.rows}

    assert ("", "200.000", "220.000", "1.10") == rows["pages looked at"]
    assert ("us", "500.000", "500.000", "1.00") == rows["CPU, all"]
    assert ("bytes", "500.000", "5.000", "0.01") == rows["tables, when dense"]
    assert 90.0 == float(rows["payments.event"][1])
    assert [] == report.missed()


def test_percentiles_are_in_milliseconds() -> None:
    p50_ms, p99_ms = percentiles_ms([n / 1000 for n in range(1, 102)])

    assert (51, 100) == (round(p50_ms), round(p99_ms))
