"""TLS for the command-line client. Imported only for ``https://``: the ssl module loads slowly."""

from __future__ import annotations

import ssl

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from trio_supervisor.cli.client.tls_options import TlsOptions


class _Socket(ssl.SSLSocket):
    """A TLS socket that supports the check of the client for an idle connection."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Raise BlockingIOError like a plain socket, also after bytes of the TLS protocol alone.

        Any flag is treated like MSG_PEEK, but the byte is consumed. That does no harm: an
        unsolicited byte makes the client close the connection.
        """
        try:
            return super().recv(1 if flags else buflen)
        except ssl.SSLWantReadError as error:
            raise BlockingIOError from error


def secured(
    connection: socket.socket,
    host: str,
    options: TlsOptions,
    shake_hands: Callable[[ssl.SSLSocket], None],
) -> ssl.SSLSocket:
    """Start TLS on a connection; closes it on failure. Raises OSError.

    ``shake_hands`` calls ``do_handshake``, after a timeout again.
    """
    try:
        connection = secure = _context(options).wrap_socket(
            connection, server_hostname=host, do_handshake_on_connect=False
        )
        shake_hands(secure)
        return secure
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise OSError(
            f"the certificate of {host} is not trusted: {error.verify_message.rstrip('.')}; "
            "ssl_ca= in [supervisorctl] names the authorities to trust"
        ) from error
    except BaseException:
        connection.close()
        raise


def _context(options: TlsOptions) -> ssl.SSLContext:
    paths = ", ".join(filter(None, (options.ca, options.certificate, options.key)))
    try:
        context = ssl.create_default_context(cafile=options.ca)
        if options.certificate is not None:
            context.load_cert_chain(options.certificate, options.key)
    except OSError as error:
        # A bare FileNotFoundError would be reported as a missing daemon.
        raise OSError(f"cannot use the PEM files {paths}: {error.strerror}") from error
    context.sslsocket_class = _Socket
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
