"""The SLURM job that works for `mipc screen --scheduler`, as dask-jobqueue writes it.

    python -m imaging.slurm tcp://LOGIN-NODE:8786 --cores 16 --partition cpu > workers.sh
    sbatch --array=1-20 workers.sh

Each job is `cores` dask workers of one thread, and each screens one study at a time.
"""

import sys
from typing import Annotated

import typer

__all__ = ["job_script"]

STUDY_GIB = 2.5  # what a study of 500 slices takes, and the dask worker that watches it


def job_script(
    scheduler: str,
    *,
    cores: int = 8,
    gib_a_core: float = STUDY_GIB,
    hours: int = 12,
    partition: str = "",
    account: str = "",
) -> str:
    """Return a job script for `sbatch`.

    Parameters
    ----------
    scheduler : str
        Address of the dask scheduler, as the compute nodes reach it.
    cores : int
        Cores of a job; each is a dask worker.
    gib_a_core : float
        Memory for each, and so the limit of a study.
    hours : int
        When SLURM ends the job; what it had in hand then is done by another.
    partition, account : str
        Of the site; "" for its defaults.
    """
    from dask_jobqueue.slurm import SLURMJob

    job = SLURMJob(
        scheduler,
        "mipc-${SLURM_JOB_ID}",  # jobs of an array may not share a name
        cores=cores,
        processes=cores,
        memory=f"{cores * gib_a_core:g}GiB",
        queue=partition or None,
        account=account or None,
        walltime=f"{hours:02}:00:00",
        job_name="mipc",
        python=sys.executable,
        # Libraries are told by the worker that starts them how many threads they may use.
        job_script_prologue=["export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1"],
        worker_extra_args=["--no-dashboard"],
        death_timeout=600,  # seconds without a scheduler
        protocol=None,
    )
    script: str = job.job_script()
    return script


def main(
    scheduler: Annotated[str, typer.Argument(help="Address of the scheduler, tcp://HOST:8786.")],
    cores: Annotated[int, typer.Option(min=1, help="Cores of a job.")] = 8,
    gib_a_core: Annotated[float, typer.Option(min=1, help="Memory for each, GiB.")] = STUDY_GIB,
    hours: Annotated[int, typer.Option(min=1, help="Time limit of a job.")] = 12,
    partition: Annotated[str, typer.Option(help="Partition.")] = "",
    account: Annotated[str, typer.Option(help="Account.")] = "",
) -> None:
    """Print a job script for sbatch."""
    typer.echo(
        job_script(
            scheduler,
            cores=cores,
            gib_a_core=gib_a_core,
            hours=hours,
            partition=partition,
            account=account,
        )
    )


if __name__ == "__main__":
    typer.run(main)
