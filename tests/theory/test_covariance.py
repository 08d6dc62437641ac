import numpy as np
import pytest

from r2mae.theory import build_covariance


def test_named_covariances():
    assert np.array_equal(build_covariance("identity", 3), np.eye(3))
    assert build_covariance("ar1:0.5", 4)[0] == pytest.approx([1, 0.5, 0.25, 0.125])
    assert build_covariance("equicorrelated:0.3", 3)[0] == pytest.approx([1, 0.3, 0.3])
    assert build_covariance("blocks:2:0.8", 4)[0] == pytest.approx([1, 0.8, 0, 0])


def test_a_file(tmp_path):
    np.save(tmp_path / "s.npy", np.eye(4))
    assert np.array_equal(build_covariance(str(tmp_path / "s.npy")), np.eye(4))


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("ar2:0.5", 3, "covariance must be identity"),
        ("ar1", 3, "covariance must be identity"),
        ("ar1:x", 3, "covariance must be identity"),
        ("ar1:1.5", 3, "the correlation of ar1 must be in [0, 1), got 1.5"),
        ("blocks:0:0.5", 3, "the size of blocks must be a whole number"),
        ("identity", None, "num_features must be at least 1 for identity"),
        ("absent.npy", None, "absent.npy must be a .npy file with a matrix"),
    ],
)
def test_bad_names_are_one_line(name, count, message):
    with pytest.raises(ValueError) as raised:
        build_covariance(name, count)
    assert message in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"not numpy", b"\x93NUMPY\x01\x00"])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "s.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a .npy file with a matrix"):
        build_covariance(str(path))
