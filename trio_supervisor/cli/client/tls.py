"""TLS for the command-line client. Imported only for ``https://``: the ssl module loads slowly."""

from __future__ import annotations

import ssl

TYPE_CHECKING = False  # type checkers know this flag; importing typing would be slow
if TYPE_CHECKING:
    import socket

    from trio_supervisor.cli.client.tls_options import TlsOptions


class _Socket(ssl.SSLSocket):
    """One whose next byte can be looked for."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Without anything to read like a plain socket, also if TLS itself has had something.

        With any flag like MSG_PEEK: such a byte is lost; but it is one that no request asked for,
        which ends the connection.
        """
        try:
            return super().recv(1 if flags else buflen)
        except ssl.SSLWantReadError as error:
            raise BlockingIOError from error


def secured(connection: socket.socket, host: str, options: TlsOptions) -> ssl.SSLSocket:
    """The same connection with TLS inside; closes it if that fails. Raises OSError."""
    try:
        return _context(options).wrap_socket(connection, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        connection.close()
        raise OSError(
            f"the certificate of {host} is not trusted: {error.verify_message.rstrip('.')}; "
            "ssl_ca= in [supervisorctl] names who may have signed it"
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
        # Not as it is: a missing file would look like a daemon that is not there.
        raise OSError(f"cannot use the PEM files {paths}: {error.strerror}") from error
    context.sslsocket_class = _Socket
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
