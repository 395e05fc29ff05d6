"""The parameter audit against a subset of the corpus, and the corpus against itself."""
import hashlib
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import measure  # noqa: E402  first: it sets how many threads numpy's libraries take
import gguf  # noqa: E402
import numpy as np  # noqa: E402
import cheats  # noqa: E402
import formats  # noqa: E402
import honest  # noqa: E402
import table  # noqa: E402
import thresholds as limit  # noqa: E402
from cases import Carrier, Case, Truth, Written  # noqa: E402


@pytest.fixture(scope="module")
def results():
    return measure.run(measure.quick_cases())


# --- the audit ---

def test_rated_cheats_are_found(results):
    missed = [r.name for r in results if r.cheats and not r.found]
    assert table.figures(results)["found"] >= limit.FOUND_AT_LEAST, "\n".join(missed)


def test_honest_models_are_not_accused(results):
    accused = [f"{r.name}: {r.alarms}" for r in results if not r.cheats and r.alarms]
    assert table.figures(results)["false_alarms"] <= limit.FALSE_ALARMS_AT_MOST, "\n".join(accused)


def test_stored_is_exact(results):
    wrong = [r.name for r in results if r.stored is False]
    assert sum(r.stored is not None for r in results) > 100
    assert table.figures(results)["stored_agrees"] >= limit.STORED_MUST_AGREE, wrong


@pytest.mark.parametrize("dtype", ["FP8", "GPTQ", "AWQ", "MXFP4"])
def test_scales_and_zero_points_of_packed_formats_are_no_parameters(tmp_path, dtype):
    carrier = Carrier("folder", dtype, ffn=128, experts=4)
    model = carrier.make(np.random.default_rng(9))
    document, refused, _ = measure.audit(carrier.write(model, tmp_path))
    assert refused == "" and document["parameters"]["stored"] == model.parameters


def test_effective_is_near_the_truth(results):
    error = table.figures(results)["effective_error_95"]
    far = [f"{r.name}: {r.error:.3f}" for r in results if r.cheats and (r.error or 0) > limit.EFFECTIVE_ERROR_AT_MOST]
    assert error is not None and error <= limit.EFFECTIVE_ERROR_AT_MOST, "\n".join(far)


# --- the corpus ---

def test_the_corpus_is_as_large_as_it_says():
    cheating, fair = cheats.cases(), honest.cases()
    assert len(cheating) >= 200 and len({case.kind for case in cheating}) >= 15
    assert len(fair) >= 200
    assert len({case.name for case in cheating + fair}) == len(cheating) + len(fair)
    for kind in {case.kind for case in cheating}:
        strengths = {case.strength for case in cheating if case.kind == kind}
        assert len(strengths) >= 2, f"{kind} has one strength"


def digest(path):
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]


@pytest.mark.parametrize("kind", ["permuted experts with noise", "holes in the file", "honest: random, declared"])
def test_a_case_is_the_same_model_every_time(tmp_path, kind):
    case = next(case for case in measure.all_cases() if case.kind == kind)
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    assert digest(case.write(first).path) == digest(case.write(second).path)


def test_the_trained_cut_is_not_what_a_generator_draws():
    """Else no audit could tell untrained layers from the corpus's trained ones."""
    rng = np.random.default_rng(5)
    model = Carrier(layers=5).make(rng)
    for layer in range(model.layers):
        ratios = []
        for tensor in model.matrices(layer).values():
            edge = measure_edge(tensor)
            ratios.append(edge / measure_edge(measure.weights.gaussian(rng, tensor.shape, 1)))
        assert max(ratios) > 1.1, f"layer {layer}: {ratios}"


def measure_edge(tensor):
    """Largest singular value over Marchenko and Pastur's edge."""
    rows, columns = tensor.shape
    return np.linalg.svd(tensor, compute_uv=False)[0] / (np.std(tensor) * (rows ** 0.5 + columns ** 0.5))


def relative(values, truth):
    return float(np.sqrt(np.mean((values - truth) ** 2)) / truth.std())


def unpack(words, axis):
    codes = np.stack([words.view(np.uint32) >> (4 * i) & 15 for i in range(8)], axis=axis + 1)
    return codes.reshape([8 * length if i == axis else length for i, length in enumerate(words.shape)])


def decoded(format_name, tensor):
    if format_name in formats.GGUF_K:
        return gguf.quants.dequantize(formats.GGUF_K[format_name](tensor), gguf.GGMLQuantizationType[format_name])
    if format_name == "FP8":
        codes, scales = (array for _, array in formats.fp8("x.weight", tensor).values())
        sign = np.where(codes & 128, -1, 1)
        return formats.E4M3[codes & 127] * sign * scales.repeat(128, 0)[:len(codes)].repeat(128, 1)[:, :codes.shape[1]]
    if format_name == "MXFP4":
        packed, powers = (array for _, array in formats.mxfp4("x", tensor[None]).values())
        codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(*packed.shape[:-1], 32)
        sign = np.where(codes & 8, -1, 1)
        return (formats.E2M1[codes & 7] * sign * np.exp2(powers[..., None].astype(float) - 127)).reshape(tensor.shape)
    packed = {name: array for name, (_, array) in formats.PACKED[format_name]("x.weight", tensor).items()}
    axis, order = (0, np.arange(8)) if format_name == "GPTQ" else (1, np.argsort([0, 2, 4, 6, 1, 3, 5, 7]))
    put = lambda codes: codes.reshape(len(codes), -1, 8)[:, :, order].reshape(codes.shape)
    codes, zero = put(unpack(packed["x.qweight"], axis)), put(unpack(packed["x.qzeros"], 1))
    groups = codes.reshape(-1, formats.GROUP, codes.shape[1]).astype(float)
    return ((groups - zero[:, None]) * packed["x.scales"][:, None]).reshape(codes.shape).T


@pytest.mark.parametrize("format_name, error", [("Q6_K", 0.03), ("Q4_K", 0.1), ("FP8", 0.04), ("GPTQ", 0.12),
                                                ("AWQ", 0.12), ("MXFP4", 0.15)])
def test_what_formats_py_writes_is_read_back(format_name, error):
    tensor = np.random.default_rng(3).standard_normal((64, 512)).astype(np.float32) / 20
    assert relative(decoded(format_name, tensor), tensor) < error


# --- the judge ---

def verdict(finding, truth, cheating=True):
    case = Case("a kind" if cheating else "honest: a kind", "some", True, Carrier(), None, cheating)
    found = {"findings": [finding], "parameters": {"stored": 100, "effective": {"value": 60}}}
    return measure.judge(case, Written("model", truth, 100), found, "", 0.0)


COPY = Truth(names={"duplicate_layer"}, also={"near_duplicate"}, least=30, most=35, layers={1, 4})


@pytest.mark.parametrize("finding, found, named, alarms", [
    ({"kind": "duplicate_layer", "where": "blk.4", "parameters": 30, "confidence": 1.0}, True, True, 0),
    ({"kind": "near_duplicate", "where": "model.layers.1.mlp.up_proj.weight", "confidence": 0.9}, True, False, 0),
    ({"kind": "duplicate_layer", "where": "blk.14", "parameters": 30, "confidence": 1.0}, False, False, 1),
    ({"kind": "zero_tensor", "where": "blk.4.ffn_up.weight", "parameters": 30, "confidence": 1.0}, False, False, 0),
    ({"kind": "duplicate_layer", "where": "blk.4", "parameters": 30, "confidence": 0.2}, False, False, 0),
    ({"kind": "duplicate_layer", "where": "layers 3 to 5", "parameters": 30, "confidence": 1.0}, True, True, 0),
    ({"kind": "duplicate_layer", "where": "blk.3", "of": "blk.1", "confidence": 1.0}, True, True, 0),
    ({"kind": "duplicate_layer", "where": "token_embd.weight", "confidence": 1.0}, False, False, 1),
])
def test_a_finding_counts_only_where_something_was_done(finding, found, named, alarms):
    result = verdict(finding, COPY)
    assert (result.found, result.named, len(result.alarms)) == (found, named, alarms)
    assert result.error == pytest.approx(0.05)


def test_a_true_remark_is_no_alarm_and_an_exaggerated_one_is():
    allowed = Truth(also={"zero_rows"}, most=10, outside=True)
    finding = {"kind": "zero_rows", "where": "token_embd.weight", "parameters": 10, "confidence": 1}
    assert verdict(finding, allowed, cheating=False).remarks
    assert verdict(finding | {"parameters": 11}, allowed, cheating=False).alarms
    assert verdict(finding, Truth(), cheating=False).alarms


def test_the_table_in_the_documents_is_the_one_measured():
    results = table.read_results(measure.HERE / "results" / "corpus.json")
    assert len(results) >= 400
    written = (measure.weights.SOURCE / "docs" / "audit.md").read_text(encoding="utf-8")
    assert table.document(results).rstrip("\n") in written


def test_the_error_rates_in_the_documents_are_those_measured():
    found = json.loads((measure.HERE / "results" / "rates.json").read_text(encoding="utf-8"))
    assert found["trained"]["groups"] >= 1000 and found["drawn"]["groups"] >= 1000
    written = (measure.weights.SOURCE / "docs" / "audit.md").read_text(encoding="utf-8")
    assert measure.rates.document(found).rstrip("\n") in written
    assert found["trained"]["groups_alike"] <= 0.005 * found["trained"]["groups"]
    assert found["drawn"]["groups_alike"] >= 0.99 * found["drawn"]["groups"]
