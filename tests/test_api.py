"""The public names, written down: adding or removing one is a decision, and shows up here."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest
import sources

import armour

PUBLIC = {
    "armour": """
        ArmourError Bounds Dataset Model Preprocessing Report Threat __version__ attacks criteria data
        defenses errors evaluate export_onnx fuzz load privacy save tensor wrap
    """,
    "armour.attacks": """
        APGD APGDDLR APGDT ATTACKS Attack AttackResult AutoAttack BIM Bandits Blur Boundary Bytes
        CTFGSM CW Contrast CorruptionAttack DDN DIFGSM DecisionAttack DeepFool Delta
        Diversity EAD Edits FAB FABT FGSM FMN FixedBudgetAttack Flow GaussianNoise Genetic GeoDA
        HopSkipJump ImagePatch JSMA Jitter LBFGS LeastLikely MIFGSM Mask MinimizationAttack Momentum
        MomentumAttack NES NIFGSM Neighbours Noise OnePixel OwnLimitsAttack OwnLimitsScoreAttack PGD
        PSO Patch Pointwise RFGSM RayS SIFGSM SPSA SaltAndPepper ScoreAttack SignOPT SimBA Smoothing
        SparseFool Spatial SpatialPGD Square Starts TIFGSM Transfer TransferMatrix UniformNoise
        Universal VMIFGSM VNIFGSM WalkAttack ZOO get names transfer_matrix
    """,
    "armour.criteria": """
        And Confident Criterion Custom LOSSES Labels Loss Misclassified RELATIVE Targeted
    """,
    "armour.data": """
        DATASETS Dataset Loader batches load load_split names split_dataset split_stratified
    """,
    "armour.defenses": """
        AdversarialTraining AlphaCROWN BitDepth CROWN CROWNIBP Certificate DEFENSES Defended
        DetectionResult Detector EnsembleDetector Evidence FeatureSqueezing IBP InputDefense JPEG
        KernelDensity LID MEANINGS MagNet Mahalanobis RandomResizing RandomizedSmoothing RegionBased
        SmoothedCertificate SmoothedModel SmoothedPrediction SmoothingDetector SpatialSmoothing
        Thermometer TotalVariation
        TrainingObjective TrainingResult certify detection gaussian_noise
    """,
    "armour.defenses.training": """
        AWP AdversarialTraining Batch Collapse Ensemble FGSMRS Free GradAlign MART NFGSM NaturalNoise Network
        PGDTraining ProjectedTraining TRADES TrainingObjective TrainingResult Watched WorstOfK collapse
        facts name_of objectives
    """,
    "armour.defenses.bounds": """
        Interval LAYER_RULES OP_RULES Program Queries Region Rounding State intervals lowest program_of
        region_of tightened
    """,
    "armour.errors": """
        AnomalyError ArmourError BackendUnavailable CaptureError CheckpointError RangeNotStated DataError
        FormatError GateFailed Interrupted InvalidArgument NothingEvaluated RemoteError
        UnsoundEvidence UnsupportedError
    """,
    "armour.evaluation": """
        PRESETS RULES evaluate sample_ids
    """,
    "armour.formats": """
        check_target load save
    """,
    "armour.formats.onnx_export": """
        BATCH IR_VERSIONS MAX_BYTES export_onnx graph_to_onnx to_onnx
    """,
    "armour.fuzz": """
        Campaign CampaignResult Comparison Corpus Failure FuzzConfig FuzzResult Fuzzer
        GrowthPoint HardenConfig Hardening Param harden mutator
    """,
    "armour.fuzz.oracles": """
        DEFAULTS Judged ORACLES Oracle Panel Place Relation SEVERITIES Seen Verdict in_order parse
        read_relations register
    """,
    "armour.remote": """
        RemoteModel RemoteOptions is_url wrap
    """,
    "armour.serving": """
        Limits Server
    """,
    "armour.tensor": """
        OPS Tensor abs acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
        adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_n affine_grid all any
        arange argmax argmin argsort asin asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d
        batch_norm binary_cross_entropy broadcast_to cast ceil celu checkpoint cholesky chunk clip
        clipped_gradient col2im compile concat conv1d conv2d conv3d conv_transpose1d
        conv_transpose2d conv_transpose3d cos cosh cosine_distance cosine_similarity count_nonzero
        cross_entropy cummax cummin cumprod cumsum custom_vjp depth_to_space det detect_anomaly
        diag diag_embed diagonal divide dlr dropout einsum elu embedding equal erf erfc erfinv exp
        exp2 expand_dims expm1 eye flatten flip floor floor_divide full_like gather gather_nd gelu
        gelu_tanh get_xp getitem global_avg_pool1d global_avg_pool2d global_avg_pool3d
        global_max_pool1d global_max_pool2d global_max_pool3d glu grad greater greater_equal
        grid_sample group_norm hardsigmoid hardswish hardtanh hessian hinge huber hvp im2col
        index_add instance_norm interpolate inv isfinite isinf isnan jacobian jitter jvp kl
        kthvalue l1 layer_norm leaky_relu lerp less less_equal linspace local_response_norm log
        log10 log1p log2 log_softmax logaddexp logical_and logical_not logical_or logical_xor
        logsigmoid logsumexp lp_pool1d lp_pool2d margin matmul max max_pool1d max_pool2d max_pool3d
        maximum mean median meshgrid min minimum mish mod module_sample_grads moveaxis mse multiply
        negative nll no_grad normalize not_equal one_hot ones_like outer overlap_add pad pad_edges
        per_sample_grad pixel_shuffle pixel_unshuffle power prelu prod quantile random reciprocal
        relu relu6 repeat reshape rms_norm roll round rsqrt scaled_dot_product_attention scan
        scatter_add_along_axis scatter_nd scatter_nd_add scatter_update segment_sum selu sigmoid
        sigmoid_cross_entropy sign silu sin sinh sliding_windows slogdet smooth_l1
        soft_cross_entropy soft_margin softmax softplus softsign solve solve_triangular sort space_to_depth
        split sqrt square squeeze stack std stop_gradient strided_slice subtract sum swapaxes
        take_along_axis tan tanh targeted_dlr threshold tile topk trace transpose tril triu trunc unstack
        use_backend use_kernels use_plans use_workers value_and_grad var vector_norm vjp where
        xlog1py xlogy zeros_like
    """,
    "armour.tensor.nn": """
        AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d
        AdaptiveMaxPool3d Add AvgPool1d AvgPool2d AvgPool3d BatchNorm1d BatchNorm2d BatchNorm3d
        Buffer CELU Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d Dropout ELU
        Embedding Flatten Fold GELU GLU GRU GlobalAvgPool1d GlobalAvgPool2d GlobalAvgPool3d
        GlobalMaxPool1d GlobalMaxPool2d GlobalMaxPool3d GroupNorm Handle Hardsigmoid Hardswish
        Hardtanh Identity InstanceNorm1d InstanceNorm2d InstanceNorm3d LAYERS LPPool1d LPPool2d LSTM
        Layer LayerNorm LeakyReLU Linear LocalResponseNorm LogSigmoid LogSoftmax MaxPool1d MaxPool2d
        MaxPool3d Mish Module ModuleDict ModuleList MultiheadAttention PReLU Parameter PixelShuffle
        PixelUnshuffle PositionalEncoding RMSNorm RNN ReLU ReLU6 ReflectionPad2d ReplicationPad2d
        Residual SELU Sequential SiLU Sigmoid Softmax Softplus Softsign Tanh Threshold Unfold
        Upsample ZeroPad2d capture evaluating frozen leaf leaf_names skip_init
    """,
    "armour.tensor.optim": """
        Adam AdamW Optimizer SGD State
    """,
    "armour.tensor.random": """
        Rng bernoulli categorical exponential gamma integers keep_mask laplace multinomial normal
        permutation poisson shuffle truncated_normal uniform
    """,
    "armour.tensor.zoo": """
        ARCHITECTURES BasicBlock Builder MIN_SIZE ResNet SMALL Shape build lenet5 mlp names resnet20
        resnet8 vgg_small
    """,
    "armour.tensor.zoo_imagenet": """
        AlexNet Bottleneck DeepResNet alexnet resnet101 resnet152 resnet18 resnet34 resnet50
    """,
}


def public(module: str) -> list[str]:
    """What a module offers: __all__, or else its own names and those imported as `X as X`; no underscores."""
    body = ast.parse(sources.modules()[module].read_text(encoding="utf-8")).body
    names: set[str] = set()
    for node in body:
        if isinstance(node, ast.ImportFrom):
            names |= {alias.name for alias in node.names if alias.asname == alias.name}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names:
                return sorted(ast.literal_eval(node.value) if node.value else [])
    return sorted(name for name in names if not name.startswith("_"))


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names(module: str) -> None:
    assert public(module) == sorted(PUBLIC[module].split())


@pytest.mark.parametrize("name", armour.__all__)
def test_every_lazy_name_is_there(name: str) -> None:
    assert getattr(armour, name) is not None
    assert name in dir(armour)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = armour.no_such_name


@pytest.mark.parametrize("package", sorted(sources.packages()))
def test_no_public_name_is_also_a_sub_module(package: str) -> None:
    """Importing the sub-module would set the attribute to the module, and the name would be gone."""
    inside = {m.rpartition(".")[2] for m in sources.modules() if m.rpartition(".")[0] == package}
    clashes = [
        name
        for name in public(package)
        if name in inside and not inspect.ismodule(getattr(importlib.import_module(package), name))
    ]
    assert not clashes
    if package == "armour":
        assert not set(armour._FROM) & inside


def test_the_command_table_names_commands() -> None:
    import click

    from armour.cli.main import COMMANDS, main

    for name, (where, line) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert isinstance(command, click.Command), where
        assert command.name == name
        assert line.endswith(".")
