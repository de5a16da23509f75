"""Studies on a real dask cluster: a scheduler and workers that are processes of their own on this machine."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from imaging.cluster import ClusterError, run_on_cluster
from imaging.dicom import derive_uid
from imaging.slurm import job_script
from imaging.worker import Finished, Limits, warm_up
from mipc import app
from records.errors import Reason
from records.model import Study
from tests.imaging import toy_screen, toys
from tests.imaging.dask_cluster import running_cluster
from tests.imaging.dicom.making import chest, export
from tests.imaging.test_batch import MIXED, outputs, screened, wait_for_studies
from tests.waiting import PATIENCE_SECONDS

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Run two workers; tests that kill one add it themselves."""
    warm_up("tests.imaging.toy_screen")
    with running_cluster(tmp_path_factory.mktemp("cluster") / "dask", workers=2) as running:
        yield running


def outcomes(cluster, tasks, **limits):
    ended = list(run_on_cluster(cluster.address, toys.misbehave, tasks, limits=Limits(**limits)))
    assert sorted(one.index for one in ended) == list(range(len(tasks)))
    return sorted(ended, key=lambda one: one.index)


def test_a_cluster_gives_the_same_results_as_one_machine(cluster, tmp_path):
    """Those that crash, hang or eat memory among them, and each costs only itself."""
    studies = toy_screen.studies(*(what for what in MIXED if what != "hang"))
    here = toy_screen.run_batch(tmp_path / "here", studies)
    there = toy_screen.run_batch(tmp_path / "there", studies, scheduler=cluster.address)
    assert (there.labels, there.reasons) == (here.labels, here.reasons)
    assert outputs(tmp_path / "there") == outputs(tmp_path / "here")


def test_a_task_that_failed_is_tried_once_more_when_the_others_are_done(cluster, tmp_path):
    tasks = [("fail once", str(tmp_path / "mark")), *(("nap", 0.05) for _ in range(6))]
    ended = list(run_on_cluster(cluster.address, toys.misbehave, tasks))
    assert ended[-1] == Finished(0, "done")


def test_a_task_that_hangs_is_ended(cluster):
    lost, done = outcomes(cluster, [("hang",), ("double", 1)], seconds=4.0)
    assert (lost.reason, done.value) == (Reason.TIMED_OUT, 2)


def test_a_process_serves_many_tasks(cluster):
    pids = [one.value for one in outcomes(cluster, [("nap", 0.01)] * 40)]
    assert len(set(pids)) <= 4  # two workers; between two rounds a worker may start another


def test_a_worker_that_is_killed_costs_no_result(cluster):
    """What it had in hand is done by another, once."""
    doomed = cluster.add_worker("--no-nanny")
    values = {}
    for one in run_on_cluster(cluster.address, toys.misbehave, [("nap", 0.15)] * 24):
        values[one.index] = one.value
        if len(values) == 6:
            doomed.send_signal(signal.SIGKILL)
    assert sorted(values) == list(range(24))
    assert doomed.wait(timeout=PATIENCE_SECONDS) == -signal.SIGKILL


PROGRAM = textwrap.dedent("""
    import sys
    from pathlib import Path
    from tests.imaging import toy_screen

    folder, scheduler, *descriptions = sys.argv[1:]
    studies = toy_screen.studies(*descriptions)
    toy_screen.run_batch(Path(folder), studies, scheduler=scheduler, limits=toy_screen.PATIENT)
    print("ended", flush=True)
""")


def start_batch(folder, descriptions, address):
    arguments = [sys.executable, "-c", PROGRAM, str(folder), address, *descriptions]
    return subprocess.Popen(arguments, cwd=ROOT, stdout=-1, stderr=-1, text=True)


def test_a_killed_run_goes_on_where_it_stopped(cluster, tmp_path):
    count = 60
    descriptions = ["miliary"] * 50 + [f"await {tmp_path / 'go'}"] * 10  # so that it can't be done before
    batch = start_batch(tmp_path, descriptions, cluster.address)
    wait_for_studies(tmp_path, 5)
    batch.kill()
    batch.communicate(timeout=PATIENCE_SECONDS)
    assert 5 <= len(screened(tmp_path)) < count
    (tmp_path / "go").touch()
    batch = start_batch(tmp_path, descriptions, cluster.address)
    output, errors = batch.communicate(timeout=PATIENCE_SECONDS)
    assert output == "ended\n", errors
    rows = (tmp_path / "studies.csv").read_text().splitlines()[1:]
    assert sorted(row.split(",")[0] for row in rows) == sorted(f"1.2.{number}" for number in range(count))
    done = screened(tmp_path)
    assert len(set(done)) == len(done)
    assert count - 1 <= len(done) <= count  # stored, and killed before it was logged


def test_what_nobody_waits_for_is_ended(cluster):
    """A batch that is left leaves no study running on the cluster."""
    batch = run_on_cluster(cluster.address, toys.misbehave, [("nap", 0.01), ("nap", 500), ("nap", 500)])
    next(batch)
    batch.close()
    began = time.monotonic()
    assert [one.value for one in outcomes(cluster, [("double", 4)] * 2)] == [8, 8]
    assert time.monotonic() - began < 400  # else they waited for the naps


def test_a_scheduler_that_is_not_there_is_a_sentence(monkeypatch):
    monkeypatch.setattr("imaging.cluster.CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "tcp://nowhere.invalid:8786"):
        with pytest.raises(ClusterError, match=f"no dask scheduler can be reached at {address}") as failure:
            next(run_on_cluster(address, toys.double, [1]))
        assert "\n" not in str(failure.value)


def test_a_scheduler_that_is_lost_ends_the_run_and_loses_nothing_finished(tmp_path):
    with running_cluster(tmp_path / "dask", workers=1) as cluster:
        batch = run_on_cluster(cluster.address, toys.misbehave, [("nap", 0.05)] * 1000)
        kept = [next(batch) for _ in range(3)]
        cluster.scheduler.send_signal(signal.SIGKILL)
        with pytest.raises(ClusterError, match=r"lost|broke"):
            kept.extend(batch)
    assert 3 <= len(kept) < 1000


def test_a_worker_without_the_program_is_a_sentence(cluster, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def work(task):\n    return task\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    with pytest.raises(ClusterError, match=r"only_here.*the same version of mipc has to be installed"):
        list(run_on_cluster(cluster.address, only_here.work, [1, 2, 3]))


def test_the_command_screens_on_a_cluster(cluster, tmp_path, monkeypatch):
    """Images are read by the workers, wherever the command was typed."""
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        study = Study(derive_uid("cluster", str(number)), f"P-{number}", "Doe^Jane", "2020-01-02", "CT")
        export(tmp_path / "in" / str(number), chest(6), study=study)
    command = ["screen", "in", "--out", "out", "--json", "--scheduler"]
    done = CliRunner().invoke(app, [*command, cluster.address])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["reasons"] == {"too_few_slices": 2}
    monkeypatch.setattr("imaging.cluster.CONNECT_SECONDS", 1)
    lost = CliRunner().invoke(app, [*command, "tcp://127.0.0.1:1", "--no-resume"])
    assert lost.exit_code == 2
    assert "mipc: no dask scheduler can be reached at tcp://127.0.0.1:1" in lost.stderr
    assert "Traceback" not in lost.stderr


def test_a_slurm_job_is_workers_that_screen(tmp_path):
    """The script says what it needs, and run by bash, as SLURM runs it, it works for the scheduler.

    Its worker is a daemon of a nanny, which multiprocessing lets have no children.
    """
    with running_cluster(tmp_path / "dask", workers=0) as cluster:
        site = {"partition": "cpu", "account": "thorax"}
        script = job_script(cluster.address, cores=1, gib_a_core=0.5, hours=3, **site)
        lines = script.splitlines()
        assert lines[0] == "#!/usr/bin/env bash"
        assert [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")] == [
            "-J mipc", "-p cpu", "-A thorax", "-n 1", "--cpus-per-task=1", "--mem=512M", "-t 03:00:00",
        ]  # fmt: skip
        assert "--name mipc-${SLURM_JOB_ID} --nthreads 1 --memory-limit 512.00MiB --nanny" in lines[-1]
        (tmp_path / "job.sh").write_text(script)
        environment = os.environ | {"SLURM_JOB_ID": "7", "PYTHONPATH": str(ROOT)}
        said, jobs = [], []

        def start_job(sentence):  # not before it is said that nobody is there to work
            said.append(sentence)
            with (tmp_path / "job.log").open("wb") as log:
                options = {"stdout": log, "stderr": log, "start_new_session": True}
                jobs.append(subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment, **options))

        tasks = [("double", 1), ("hold", 4096), ("double", 2)]
        ended = run_on_cluster(cluster.address, toys.misbehave, tasks, say=start_job)
        try:
            first, lost, last = sorted(ended, key=lambda one: one.index)
        finally:
            for job in jobs:
                os.killpg(job.pid, signal.SIGKILL)
                job.wait()
    assert (first, last) == (Finished(0, 2), Finished(2, 4))
    assert lost.reason is Reason.OUT_OF_MEMORY
    assert "0.5 GiB" in lost.sentence  # alone, it may have all that its worker has
    assert [sentence.partition(" has ")[2] for sentence in said] == [
        "no workers yet; studies start when there are some."
    ]
