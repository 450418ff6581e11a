"""`nabd` with a kind whose file is wrong: a street light of more than 100 W is out of its range."""

import msgspec

from contract import kind_file
from contract.kind import Kinds


def narrow() -> Kinds:
    kinds = kind_file.load_kinds()
    lamp = kinds["street_light"]
    power = msgspec.structs.replace(lamp.metrics["power_w"], maximum=100.0)
    lamp = msgspec.structs.replace(lamp, metrics={**lamp.metrics, "power_w": power})
    return {**kinds, "street_light": lamp}


if __name__ == "__main__":
    from nabd import wiring
    from nabd.cli import main

    wiring.load_kinds = narrow  # type: ignore[attr-defined, assignment]  # for this process only
    main()
