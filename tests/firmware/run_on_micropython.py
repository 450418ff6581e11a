"""Runs test modules on MicroPython: ``micropython -m tests.firmware.run_on_micropython MODULE…`` from the root.

Every function named test_* without arguments is called; what it raises is printed with its traceback. The last line
says how many passed and failed; the exit code is 1 when any failed. Some 30 lines, for there is no unittest.
"""

import gc
import sys


def load(name: str) -> "dict[str, object]":
    module = __import__(name, None, None, ("*",))
    return {key: getattr(module, key) for key in dir(module) if key.startswith("test_")}


def main(names: "list[str]") -> int:
    passed = failed = 0
    for name in names:
        tests = load(name)
        for key in sorted(tests):
            gc.collect()
            try:
                tests[key]()  # type: ignore[operator]
                passed += 1
                print("pass", name, key)
            except Exception as fault:
                failed += 1
                print("FAIL", name, key)
                sys.print_exception(fault)  # type: ignore[attr-defined]
    print("passed", passed, "failed", failed)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
