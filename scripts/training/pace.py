"""Resumable training: checkpoints, learning rates, and the number of threads on a shared machine."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


def say(text: str) -> None:
    """Write progress to stderr."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def keep(state: dict, path: Path) -> None:
    """Save a checkpoint atomically."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def pace(step: int, total: int, rate: float) -> float:
    """Return the learning rate of a step: a short warm-up, then cosine decay."""
    return rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / total)) / 2)


class Threads:
    """Times one and two threads every 300 steps and uses the faster, because the machine may be shared.

    With `most` = 1 it uses one thread.
    """

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self.spent: dict[int, float] = {}
        torch.set_num_threads(1)

    def step(self, number: int, work: Callable[[], float]) -> float:
        """Run one step of work, timed if it is a trial."""
        turn = number % 300
        if turn >= 16 or self.most == 1:
            return work()
        threads = 1 + turn // 8
        torch.set_num_threads(threads)
        begun = time.perf_counter()
        loss = work()
        spent = time.perf_counter() - begun
        self.spent[threads] = spent if turn % 8 < 2 else self.spent.get(threads, 0.0) + spent
        if turn == 15:
            torch.set_num_threads(min(self.spent, key=lambda n: self.spent[n]))
        return loss


@dataclass
class Run:
    """One stage of training: its checkpoint file, its modules and its progress."""

    path: Path
    modules: dict[str, torch.nn.Module]
    rate: float
    n_steps: int
    decay: float = 0.01
    n_done: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        weights = [p for module in self.modules.values() for p in module.parameters() if p.requires_grad]
        self.weights = weights
        self.optimizer = torch.optim.AdamW(weights, lr=self.rate, betas=(0.9, 0.99), weight_decay=self.decay)
        self.mean = [p.detach().clone() for p in weights]
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.n_done, self.seconds, self.mean = state["n_done"], state["seconds"], state["mean"]
            self.optimizer.load_state_dict(state["optimizer"])
            for key, module in self.modules.items():
                module.load_state_dict(state[key])
            say(f"{self.name}: resuming after {self.n_done} steps")

    @property
    def name(self) -> str:
        return self.path.stem

    def save(self) -> None:
        state = {key: module.state_dict() for key, module in self.modules.items()}
        progress = {"n_done": self.n_done, "seconds": self.seconds, "mean": self.mean}
        keep({**state, **progress, "optimizer": self.optimizer.state_dict()}, self.path)

    def use_mean(self) -> None:
        """Replace the weights by their running mean."""
        with torch.no_grad():
            for weight, mean in zip(self.weights, self.mean, strict=True):
                weight.copy_(mean)

    def go(
        self,
        loss_of: Callable[[int], torch.Tensor],
        on_step: Callable[[int], None] | None = None,
        *,
        n_threads: int = 2,
    ) -> None:
        """Train from the current step to the last. `on_step` is called after each step with the steps done."""
        threads, mean_loss, saved = Threads(n_threads), 0.0, time.monotonic()

        def work() -> float:
            for group in self.optimizer.param_groups:
                group["lr"] = pace(self.n_done, self.n_steps, self.rate)
            loss = loss_of(self.n_done)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.weights, 1.0)
            self.optimizer.step()
            with torch.no_grad():
                share = max(0.002, 1 / (1 + 0.1 * self.n_done))
                torch._foreach_lerp_(self.mean, self.weights, share)
            return float(loss.detach())

        while self.n_done < self.n_steps:
            begun = time.monotonic()
            loss = threads.step(self.n_done, work)
            self.n_done += 1
            self.seconds += time.monotonic() - begun
            mean_loss = loss if self.n_done < 5 else 0.98 * mean_loss + 0.02 * loss
            if on_step is not None:
                on_step(self.n_done)
            if self.n_done % 100 == 0:
                per_step = self.seconds / self.n_done
                say(f"{self.name} {self.n_done}/{self.n_steps} loss {mean_loss:.4f} {per_step:.2f} s "
                    f"threads {torch.get_num_threads()}")  # fmt: skip
            if time.monotonic() - saved > 60 or self.n_done == self.n_steps:
                self.save()
                saved = time.monotonic()
