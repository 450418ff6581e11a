"""Ports to listen on: taken before anything else is opened, so that one in use costs nothing."""

import errno
import socket

from nabd.fault import Refused


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises Refused with why not, and the remedy; `option` chooses another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            sentence = f"is in use by another program; stop that one or choose another port with {option}"
        else:
            sentence = f"cannot be used ({error.strerror}); choose another address, or another port with {option}"
        raise Refused(f"{host}:{port} {sentence}") from None
    return listener
