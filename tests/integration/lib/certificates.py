"""Keys and certificates of the test's own, made by OpenSSL's own program."""

import subprocess

from .waiting import PATIENCE


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *map(str, arguments)], cwd=cwd, check=True, capture_output=True, timeout=PATIENCE)


class Authority:
    """A CA in `folder`: .file is its certificate."""

    def __init__(self, folder, name="Test CA"):
        self.folder = folder
        self.file, self.key = folder / "ca.pem", folder / "ca.key"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
            "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.file, cwd=folder,
        )  # fmt: skip

    def issue(self, name, kind="ec", stem=None, subject_names=None, days=2, more_extensions=""):
        """(certificate, key) for a host name, in files named after it (or `stem`, written over)."""
        stem = stem or name
        certificate, key, request, more = (
            self.folder / f"{stem}.{end}" for end in ("pem", "key", "csr", "ext")
        )
        new = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
        openssl("req", "-newkey", *new, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request,
                cwd=self.folder)  # fmt: skip
        more.write_text(f"subjectAltName={subject_names or f'DNS:{name}'}\n{more_extensions}")
        openssl("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", more, "-out", certificate, cwd=self.folder)  # fmt: skip
        return certificate, key
