"""python3 tests/machine/lifecycle TRIAL: one trial of the package in a machine of its own. See ../package.

Rule: a trial is a list of steps in their order; after each of them no unit may have failed and dpkg has nothing to say.
"""

import os
import pathlib
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "compat")]

import attacks
import bare
import child
import library
import life
import others
import taken
from box import Box
from report import Report, Unexpected, split

TRIALS = {"life": life, "others": others, "taken": taken, "bare": bare, "library": library, "attacks": attacks}


class Trial:
    """Runs steps on a machine and reports each in a line."""

    def __init__(self, report: Report, box: Box):
        self.report, self.box = report, box

    def step(self, name: str, action) -> bool:
        """One step, and then a look at the machine. `action` returns a note or raises Unexpected."""
        def whole():
            try:
                note = action()
            except (OSError, KeyError, ValueError, IndexError) as reason:
                raise Unexpected(f"{type(reason).__name__}: {reason}\n{traceback.format_exc()}") from None
            self.box.settled()
            return note
        return self.report.check(name, whole)

    def steps(self, steps, vital: int = 2) -> bool:
        """(name, action) one after another. Without the first of them, `vital` ones, the others have no sense: false."""
        for number, (name, action) in enumerate(steps):
            if not self.step(name, action) and number < vital:
                return False
        return True

    def every(self, rows: list) -> None:
        """Steps that ran already: (name, failure or None, note)."""
        for name, failure, note in rows:
            if failure:
                self.report.fail(name, *split(Unexpected(failure)))
            else:
                self.report.ok(name, note)


def main() -> int:
    name = sys.argv[1]
    logs = pathlib.Path(os.environ["LIFECYCLE_LOGS"])
    report, box = Report(logs), Box()
    trial = Trial(report, box)
    try:
        TRIALS[name].run(trial)
    except Exception as reason:  # a bug of the harness must not look like a short run
        report.fail(f"{name} runs to its end", str(reason).partition("\n")[0], traceback.format_exc())
    finally:
        child.end_all()
        box.close()
    (logs / f"{name}.failed").write_text("".join(f"{name}: {step}\n" for step in report.failed), encoding="utf-8")
    (logs / f"{name}.passed").write_text("ok\n" * report.passed, encoding="utf-8")
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
