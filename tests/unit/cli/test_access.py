"""Every refusal of a cluster is a sentence that says what to do."""

from pathlib import Path

import pytest

from heterofleet.cli import access
from heterofleet.cli.kubeconfig import Target
from heterofleet.cluster import errors

TARGET = Target(Path("/k"), "prod", "models", "https://one:6443")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            errors.Unavailable("GET /x: Cannot connect to host one:6443 ssl:default [Connect call failed ('1', 6443)]"),
            "the API server at https://one:6443 (context prod) does not answer: the connection is refused",
        ),
        (
            errors.Unavailable("GET /x: Cannot connect to host one:6443 ssl:default [Name or service not known]"),
            "the API server at https://one:6443 (context prod) does not answer: Name or service not known",
        ),
        (
            errors.Unavailable(
                "GET /x: Cannot connect to host one:6443 ssl:True [SSLCertVerificationError: (1, '[SSL: "
                "CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)')]"
            ),
            "the API server at https://one:6443 (context prod) does not answer: "
            "its certificate is not trusted (self-signed certificate)",
        ),
        (
            errors.Unavailable("GET /x: TimeoutError"),
            "the API server at https://one:6443 (context prod) does not answer: TimeoutError",
        ),
        (
            errors.Forbidden('User "system:anonymous" cannot list resource "pods"', status=403),
            "https://one:6443 (context prod) does not know who you are: "
            "the kubeconfig brought no credentials, log in again",
        ),
        (errors.Unavailable("kubeconfig: Invalid file"), "kubeconfig: Invalid file (context prod)"),
        (
            errors.Forbidden("Unauthorized", status=401),
            "https://one:6443 (context prod) does not accept your credentials: log in again",
        ),
        (
            errors.Forbidden('User "ann" cannot list resource "pods"', status=403),
            'User "ann" cannot list resource "pods": ask an administrator of the cluster for this right',
        ),
        (
            errors.NotFound("404 page not found", status=404),
            "https://one:6443 (context prod) does not know fleets: install Heterofleet there, or choose another "
            "--context; `heterofleet doctor` says what is missing",
        ),
        (errors.NotFound('pods "a" not found', status=404), 'pods "a" not found'),
        (errors.Conflict("the object has been modified", status=409), "the object has been modified"),
    ],
)
def test_each_refusal_has_its_sentence(error: errors.ClusterError, sentence: str) -> None:
    assert access.sentence(error, TARGET) == sentence
