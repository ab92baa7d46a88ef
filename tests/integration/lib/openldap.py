"""A real slapd of the test's own, with people in it."""

import subprocess

from . import ports
from .service import Service
from .waiting import PATIENCE

PROGRAM = "/usr/sbin/slapd"
BASE = "dc=example,dc=test"
ADMIN = f"cn=admin,{BASE}"
PASSWORD = "the directory's own secret"

CONF = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {folder}/exchange.schema
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
modulepath /usr/lib/ldap
moduleload back_mdb
{tls}
database mdb
maxsize 1073741824
suffix "{base}"
rootdn "{admin}"
rootpw "{password}"
directory {folder}/data
index objectClass eq
index mail,proxyAddresses eq
access to * by dn.exact="{admin}" write by anonymous auth by * none
"""

# Active Directory's own attribute, which OpenLDAP's schemas lack (OID from the range for experiments).
EXCHANGE = """
attributetype ( 1.3.6.1.4.1.4203.666.1.90 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.91 NAME 'userAccountControl' EQUALITY integerMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.1.92 NAME 'mailRecipient' SUP top AUXILIARY
  MAY ( proxyAddresses $ userAccountControl ) )
"""


class OpenLDAP(Service):
    """url: where it listens. People are added before it starts, with slapadd."""

    def __init__(self, certificates=None, scheme="ldap"):
        super().__init__("slapd", PROGRAM)
        self.port = ports.free()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        (self.folder / "data").mkdir()
        (self.folder / "exchange.schema").write_text(EXCHANGE)
        tls = ""
        if certificates:
            certificate, key, ca = certificates
            tls = f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\nTLSCACertificateFile {ca}"
        (self.folder / "slapd.conf").write_text(
            CONF.format(folder=self.folder, base=BASE, admin=ADMIN, password=PASSWORD, tls=tls)
        )
        self.secret = self.folder / "secret"
        self.secret.write_text(PASSWORD + "\n")

    def fill(self, people):
        """people: (name, [proxyAddresses], account control)"""
        ldif = [f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n"]
        for name, addresses, control in people:
            lines = [f"dn: cn={name},{BASE}", "objectClass: inetOrgPerson", "objectClass: mailRecipient",
                     f"cn: {name}", f"sn: {name}", f"mail: {name}@example.test",
                     f"userAccountControl: {control}"]  # fmt: skip
            ldif.append("\n".join(lines + [f"proxyAddresses: {a}" for a in addresses]) + "\n")
        subprocess.run(
            ["/usr/sbin/slapadd", "-q", "-f", self.folder / "slapd.conf"],
            input="\n".join(ldif), text=True, check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        return self

    def start(self):
        command = [PROGRAM, "-d", "0", "-f", self.folder / "slapd.conf", "-h", self.url]
        return self.run(command, self.port, greets=False)
