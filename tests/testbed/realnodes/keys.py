"""Makes a bed's keys: one authority, a certificate for each component, and the kubeconfigs that hold them."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.realnodes import addresses
from testbed.realnodes.programs import Programs

_API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


class Keys:
    """The folder of the keys: `NAME.crt` and `NAME.key`, and `NAME.kubeconfig` for clients of the API server."""

    def __init__(self, folder: Path, programs: Programs, nodes: Sequence[str]) -> None:
        self.folder = folder
        self._openssl = programs["openssl"]
        folder.mkdir()
        self._make_authority()
        served = [f"IP:{ip}" for ip in (addresses.HOST, addresses.FIRST_SERVICE)]
        self._certify("apiserver", "/CN=kube-apiserver", *served, *(f"DNS:{name}" for name in _API_NAMES))
        self._certify("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
        self._certify("front-proxy", "/CN=front-proxy")
        for name, subject in (
            ("admin", "/O=system:masters/CN=admin"),
            ("controller-manager", "/CN=system:kube-controller-manager"),
            ("scheduler", "/CN=system:kube-scheduler"),
            ("proxy", "/CN=system:kube-proxy"),
            ("coredns", "/O=system:masters/CN=coredns"),
        ):
            self._certify(name, subject)
            self._kubeconfig(name)
        for index, node in enumerate(nodes):
            self._certify(node, f"/O=system:nodes/CN=system:node:{node}", f"IP:{addresses.node(index)}", f"DNS:{node}")
            self._kubeconfig(node)

    def file(self, name: str) -> str:
        """The path of a key, certificate or kubeconfig."""
        return str(self.folder / name)

    def _make_authority(self) -> None:
        self._run("genrsa", "-out", "accounts.key", "2048")
        usage = "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"
        where = ("-keyout", "ca.key", "-out", "ca.crt")
        self._run("req", "-x509", *_NEW_KEY, "-days", "30", "-subj", "/CN=testbed", *where, "-addext", usage)

    def _certify(self, name: str, subject: str, *names: str) -> None:
        self._run("req", *_NEW_KEY, "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        extensions = self.folder / f"{name}.ext"
        alternative = f"subjectAltName={','.join(names)}\n" if names else ""
        extensions.write_text(f"extendedKeyUsage=serverAuth,clientAuth\n{alternative}")
        signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30")
        self._run("x509", "-req", "-in", f"{name}.csr", *signed_by, "-out", f"{name}.crt", "-extfile", extensions.name)

    def _kubeconfig(self, name: str) -> None:
        cluster = {"server": addresses.API, "certificate-authority": self.file("ca.crt")}
        user = {"client-certificate": self.file(f"{name}.crt"), "client-key": self.file(f"{name}.key")}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": name}}],
            "current-context": "testbed",
        }
        (self.folder / f"{name}.kubeconfig").write_text(json.dumps(document))

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._openssl, *arguments], cwd=self.folder, check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
