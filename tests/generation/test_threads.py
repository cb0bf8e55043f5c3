"""The number of threads follows what steps took of late; time is made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch

from mmchat.generation import threads as module
from mmchat.generation.threads import Threads


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


class Machine:
    """Steps that take as long as is said, by the number of threads."""

    def __init__(self, one: float, two: float) -> None:
        self.seconds = {1: one, 2: two}
        self.now = 0.0
        self.used: list[int] = []

    def step(self) -> str:
        self.used.append(torch.get_num_threads())
        self.now += self.seconds[self.used[-1]]
        return "done"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], Machine]:
    def build(one: float, two: float) -> Machine:
        machine = Machine(one, two)
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: machine.now))
        return machine

    return build


def taken(threads: Threads, machine: Machine, steps: int, size: int = 1) -> list[int]:
    machine.used.clear()
    assert [threads.step(size, machine.step) for _ in range(steps)] == ["done"] * steps
    return machine.used[:]


@pytest.mark.parametrize(("one", "two", "best"), [(1.1, 1.0, 2), (1.0, 1.2, 2), (1.0, 3.0, 1)])
def test_all_threads_unless_one_is_clearly_faster(
    machine: Callable[[float, float], Machine], one: float, two: float, best: int
) -> None:
    threads, made_up = Threads(), machine(one, two)
    assert sorted(taken(threads, made_up, 6)) == [1, 1, 1, 2, 2, 2]
    assert taken(threads, made_up, 47) == [best] * 47
    assert torch.get_num_threads() == 2, "all others have all threads"


def test_it_notices_that_the_machine_is_busy_now_and_idle_again(machine: Callable[[float, float], Machine]) -> None:
    threads, made_up = Threads(), machine(1.1, 1.0)
    taken(threads, made_up, 10)
    made_up.seconds[2] = 5.0
    assert taken(threads, made_up, 10)[-8:] == [1] * 8, "after the few steps that it remembers"
    made_up.seconds[2] = 1.0
    assert taken(threads, made_up, 300)[-100:].count(2) > 90, "from looking at the other way now and then"


def test_sizes_are_judged_apart(machine: Callable[[float, float], Machine]) -> None:
    threads = Threads()
    taken(threads, machine(1.0, 4.0), 6, size=1)
    assert taken(threads, machine(4.0, 1.0), 12, size=8)[-6:] == [2] * 6
    assert taken(threads, machine(1.0, 4.0), 6, size=1) == [1] * 6


def test_what_is_done_once_is_done_as_the_last_steps_were(machine: Callable[[float, float], Machine]) -> None:
    threads, made_up = Threads(), machine(1.0, 4.0)
    threads.once(made_up.step)
    taken(threads, made_up, 8)
    threads.once(made_up.step)
    assert made_up.used[-1] == 1
    assert torch.get_num_threads() == 2


def test_a_step_that_fails_leaves_all_threads(machine: Callable[[float, float], Machine]) -> None:
    threads = Threads()
    machine(1.0, 1.0)

    def fails() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        threads.step(1, fails)
    assert torch.get_num_threads() == 2


def test_one_thread_stays_one(machine: Callable[[float, float], Machine]) -> None:
    torch.set_num_threads(1)
    assert set(taken(Threads(), machine(1.0, 0.1), 60)) == {1}
