"""The training loop, one for every model: when to step, log, save, look and stop."""

import math
import time
from collections import defaultdict, deque
from typing import Any, NamedTuple

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from maskedae.budget import TooManyBad, check_budget
from maskedae.data import Source
from maskedae.loading import Batch, Samples, Skipped, training_loader
from maskedae.optim import learning_rate
from maskedae.planning import fingerprint, plan_of
from maskedae.progress import Meter
from maskedae.runs import Run
from maskedae.sampling import MicroBatches
from maskedae.settings import Train
from maskedae.stepping import Stepper, Task, share_of_cores
from maskedae.stopping import StopRequest


class NonFinite(ArithmeticError):
    """The gradient was not finite too many steps in a row."""


class Taken(NamedTuple):
    """A step whose numbers have not been read yet: the device may still be at work on it."""

    step: int  # steps taken with it
    facts: Tensor
    batches: list[Batch]


class Trainer:
    """Takes the steps of a plan, from wherever the run stands."""

    def __init__(
        self,
        task: Task,
        source: Source,
        settings: Train,
        run: Run,
        config: dict[str, Any],
        accelerator: Accelerator,
    ) -> None:
        self.task, self.source, self.settings = task, source, settings
        self.run, self.config, self.accelerator = run, config, accelerator
        self.main = accelerator.is_main_process
        self.plan = plan_of(source, settings)
        self.data = fingerprint(source)
        self.stepper = Stepper(task, settings, accelerator)
        self.step, self.read = 0, 0  # steps taken, and those whose numbers have been read
        self.keep = list[int]()
        self._order()
        self.best: float | None = None
        self.nonfinite, self.streak = 0, 0  # steps without a finite gradient: in all, in a row
        self.bad: dict[str, str] = {}  # samples of this split that could not be read, and why
        self.window: dict[str, float] = defaultdict(float)
        self.scores: dict[str, float] = {}
        self.losses = [0.0, 0.0]  # their sum and number since the last look
        self.stop = False

    def restore(self) -> None:
        """Go back to the last checkpoint."""
        weights, memory, state = self.run.checkpoints.load()
        if state["data"] != self.data:
            begun = state.get("samples_of_source", "other")  # not told by older checkpoints
            raise ValueError(
                f"the run was begun on {begun} samples and now there are "
                f"{len(self.source)}, or files of other names, labels or weights; it can only go "
                f"on with the same"
            )
        self.stepper.restore(weights, memory, state["scaler"])
        self.step, self.best, self.keep = state["step"], state["best"], state["keep"]
        self.read = self.step
        self.nonfinite, self.losses = state["nonfinite"], state["losses"]

    def save(self, best: bool = False) -> None:
        """Write a checkpoint from the main process."""
        if self.main:
            weights, memory, scaler = self.stepper.state()
            state = {
                "step": self.step,
                "epoch": self.step / self.plan.steps_per_epoch,
                "samples": self.step * self.plan.batch_size,
                "samples_of_source": len(self.source),
                "data": self.data,
                "finished": self.step == self.plan.steps,
                "scores": self.scores,
                "losses": self.losses,
                "best": self.best,
                "keep": self.keep,
                "nonfinite": self.nonfinite,
                "scaler": scaler,
            }
            self.run.checkpoints.save(weights, memory, state, self.config, best)
        self.accelerator.wait_for_everyone()

    def train(self) -> bool:
        """Take the steps that are left; return whether all were taken, or the run was stopped."""
        accelerator = self.accelerator
        samples = Samples(self.source, self.settings.seed, self.task.noise_size)
        workers = share_of_cores(self.settings, accelerator.num_processes)
        on_gpu = accelerator.device.type == "cuda"
        batches = iter(training_loader(samples, self._order(), workers, pin=on_gpu))
        pending: deque[Taken] = deque()
        self.meter = Meter("step", self.plan.steps, self.step, quiet=not self.main)
        with StopRequest() as request, self.meter:
            if self.step == 0:
                self._look()
            self.since = time.monotonic()
            while self.step < self.plan.steps and not self.stop:
                asked = time.monotonic()
                micro = [next(batches) for _ in range(self.settings.accumulate)]
                waited = time.monotonic() - asked
                self._require_samples(micro)
                skips = sum(s.name not in self.bad for batch in micro for s in batch.skipped)
                host = [waited, float(skips), float(request.signal is not None)]
                facts = self.stepper.take(self.step, self._lr(self.step), micro, host)
                self.step += 1
                pending.append(Taken(self.step, facts, micro))
                # A GPU is given the next step before the numbers of this one are asked for.
                while len(pending) > (on_gpu and not self._pause_due()):
                    self._digest(pending.popleft())
                if self._pause_due():
                    self._pause()
            while pending:
                self._digest(pending.popleft())
            self._flush()
            self.save()
        return self.step == self.plan.steps

    def _order(self) -> MicroBatches:
        """What this process reads from here on. Raises ValueError if the batch does not divide."""
        a = self.accelerator
        accumulate = self.settings.accumulate
        return MicroBatches(self.plan, accumulate, a.process_index, a.num_processes, self.step)

    def _lr(self, step: int) -> float:
        s, epoch = self.settings, step / self.plan.steps_per_epoch
        return learning_rate(epoch, s.peak_lr, s.min_lr, s.warmup_epochs, s.epochs, s.drops)

    def _epoch_is(self, every: int) -> bool:
        """Whether an epoch has just ended whose number `every` divides."""
        return every > 0 and self.step % (every * self.plan.steps_per_epoch) == 0

    def _pause_due(self) -> bool:
        s = self.settings
        return (
            self.step == self.plan.steps
            or self.step % s.save_every_steps == 0
            or self._epoch_is(s.keep_every_epochs)
            or self._epoch_is(s.look_every_epochs)
        )

    def _pause(self) -> None:
        """Look at the model and save it, whichever is due."""
        self._flush()
        better = False
        if self._epoch_is(self.settings.look_every_epochs) or self.step == self.plan.steps:
            better = self._look()
        if self.streak == 0:
            if self._epoch_is(self.settings.keep_every_epochs):
                self.keep.append(self.step)
            self.save(better)
        self.since = time.monotonic()

    def _look(self) -> bool:
        """Let the task draw and score; return whether the model is the best so far."""
        epoch = self.step // self.plan.steps_per_epoch
        path = self.run.pictures / f"epoch-{epoch:04d}.png"
        with self.stepper.averaged(), self.accelerator.autocast():
            self.scores, skipped = self.task.look(path, self.accelerator)
        if self.main:
            self.run.skip(skipped, write=True)
            if self.scores:
                told = ", ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
                self.meter.say(f"epoch {epoch}: {told}")
                self._write(dict(self.scores))
        self.accelerator.wait_for_everyone()
        total, count = self.losses
        self.losses = [0.0, 0.0]
        score = self.scores.get(self.task.score, -total / count if count else None)
        if not self.step or self.streak or score is None or not math.isfinite(score):
            return False
        if self.best is not None and score <= self.best:
            return False
        self.best = score
        return True

    def _require_samples(self, batches: list[Batch]) -> None:
        for batch in batches:
            if batch.samples is None:
                self.bad |= dict(batch.skipped)
                self.run.skip(batch.skipped, write=True)
                self._budget()
                raise TooManyBad(f"no readable sample was found in place of {batch.skipped[-1]}")

    def _budget(self) -> None:
        drawn = self.read * self.plan.batch_size
        check_budget(self.bad, drawn, len(self.source), self.task.data.max_bad_share)

    def _digest(self, taken: Taken) -> None:
        """Read the numbers of a step, and act on them."""
        self.read = taken.step
        loss, norm, waited, skips, stop, *watched = taken.facts.tolist()
        self.stop = self.stop or stop > 0
        if skips > 0:
            new: list[Skipped] = [s for batch in taken.batches for s in batch.skipped]
            new = gather_object(new)
            self.bad |= dict(new)
            self.run.skip(new, write=self.main)
            try:
                self._budget()
            except TooManyBad:
                self.save()
                raise
        if math.isfinite(loss) and math.isfinite(norm):
            self.streak = 0
            facts = {"loss": loss, "grad_norm": norm}
            facts |= dict(zip(self.stepper.watched, watched, strict=True))
            for name, value in facts.items():
                self.window[name] += value
            self.window["finite"] += 1
            self.losses = [self.losses[0] + loss, self.losses[1] + 1]
        else:
            self._count_nonfinite(taken.batches)
        self.window["steps"] += 1
        self.window["wait"] += waited
        if self.window["steps"] == self.settings.log_every_steps:
            self._flush()
        else:
            self.meter.update(self.read)

    def _count_nonfinite(self, batches: list[Batch]) -> None:
        self.nonfinite += 1
        self.streak += 1
        if self.streak < self.settings.max_nonfinite:
            return
        names = [self.source.name(index) for batch in batches for _, index in batch.draws]
        last = self.run.checkpoints.last
        raise NonFinite(
            f"the gradient was not finite {self.streak} steps in a row, up to step {self.read}. "
            f"Nothing of these steps was kept: the last good checkpoint is {last}. A lower "
            f"--train.base_lr, --train.clip=1 or --train.precision=fp32 may help. The last batch "
            f"held:\n  " + "\n  ".join(names[:64])
        )

    def _flush(self) -> None:
        """Log the averages of the window, and begin another."""
        window, self.window = self.window, defaultdict(float)
        steps, finite = window.pop("steps", 0), window.pop("finite", 0)
        if not steps:
            return
        passed, self.since = time.monotonic() - self.since, time.monotonic()
        waited = window.pop("wait")
        row = {name: value / finite for name, value in window.items() if finite}
        row |= {
            "lr": self._lr(self.read - 1),
            "samples_per_second": steps * self.plan.batch_size / passed,
            "wait": waited / passed,
            "skipped": len(self.run.skipped),
            "nonfinite": self.nonfinite,
        }
        self._write(row)
        shown = {name: f"{row[name]:.4f}" for name in ("loss", *self.stepper.watched) if finite}
        shown |= {"lr": f"{row['lr']:.2e}", "samples/s": f"{row['samples_per_second']:.0f}"}
        shown |= {"waiting": f"{row['wait']:.0%}", "skipped": f"{row['skipped']}"}
        if self.nonfinite:
            shown["non-finite"] = f"{self.nonfinite}"
        self.meter.update(self.read, shown)

    def _write(self, row: dict[str, float]) -> None:
        """Add a row to metrics.jsonl and to the trackers."""
        if self.main:
            epoch = self.read / self.plan.steps_per_epoch
            self.run.log({"step": self.read, "epoch": round(epoch, 4), **row})
            self.accelerator.log(row, step=self.read)
