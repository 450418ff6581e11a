"""The hardware behind one interface; `main` knows nothing else. `esp32.py` and `unix.py` have a class `Board` each:

Board(config)                  outputs go to their safe state first of all, then the rest
.boot        int               grows at each boot
.reset       str               power_on, hard, watchdog, deep_sleep, soft
.carry       dict              what save() was given before the reset
.up_ms()     int               real monotonic ms since boot; never wraps; ask at least once a day
.stream()    str               8 hex digits drawn at random
.drive(target, value)          bring the actuator there (booleans as 0.0 or 1.0)
.sample(up_ms, unix_ms) dict   metric → value now; None where it could not be measured. Both times in city scale
.illuminance(unix_ms)          lux of the photocell, or None
.interlocks() list             (target, active, reason) of each check at the device
.hands()     list              (target, value or None) of each switch at the device
.identify(on)                  show where the node is
.save(carry)                   keep it through a reset
.set_date(unix_s)              the date by which TLS judges certificates; nothing where the system keeps its clock
.feed()                        the watchdog's, once a loop
.network     object or None    has `async ready() -> bool` and `lost()`; None where the system has a network
.stop()                        a clean end: outputs stay, the next boot says soft

Where the hardware refuses (a worn flash, a pin that cannot be read now) sample, illuminance, interlocks, hands, save
and stop raise OSError or ValueError: `main` goes on without, tells it and tries again. A drive that fails ends the
node: the watchdog resets it, and the outputs are safe.
"""
