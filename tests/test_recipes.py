"""The constants of the recipes at full size: those of the published set-ups with their sources, the rest called ours.

A recipe may not say anything that is not in its table, so a new constant needs a source or is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.manifest import load_dataset, load_weights
from actionbook.core.paths import NOTEBOOKS
from actionbook.core.recipe import Recipe
from actionbook.training.schedule import step_rates
from actionbook.weights.layouts import get_layout

Table = Mapping[str, tuple[Any, str]]
"""Value and source by key; names within lists of a recipe are not walked."""
OURS = "ours: not published, or a matter of this book's program"
SECTIONS = ("task", "data", "sampling", "transforms", "model", "weights", "training", "export", "evaluation")

# okankop/Efficient-3DCNNs at d60c6c4: file and line. README.md from line 153: how UCF101 is fine-tuned. The port:
# Ascend/ModelZoo-PyTorch, ACL_PyTorch/contrib/cv/classfication/Efficient-3DCNNs. The paper: arXiv 1904.02422.
EFFICIENT3D: Table = {
    "data.manifest": ("ucf101", "README.md:157"),
    "data.split": (1, "README.md:157 (ucf101_01.json)"),
    "data.frames.height": (240, "utils/video_jpg_ucf101_hmdb51.py:35"),
    "data.frames.side": ("height", "utils/video_jpg_ucf101_hmdb51.py:35"),
    "sampling.name": ("windows", "datasets/ucf101.py, make_dataset: n_samples 0"),
    "sampling.frames": (16, "README.md:169"),
    "sampling.stride": (1, "README.md:170"),
    "sampling.window": (16, "datasets/ucf101.py, make_dataset: the step is sample_duration"),
    "sampling.last_start": (False, "temporal_transforms.py, TemporalRandomCrop"),
    "transforms.modality": ("rgb", "opts.py:11"),
    "transforms.size": (112, "opts.py:15"),
    "transforms.short_side": (None, "main.py:118 and 179: scaled to sample_size"),
    "transforms.mean": ([114.7748, 107.7354, 99.4750], "opts.py:27, mean.py:6"),
    "transforms.std": ([1.0, 1.0, 1.0], "opts.py:31: std_norm is off; opts.py:60: values stay 0..255"),
    "transforms.scales": ([1.0, 0.84089641, 0.70710678, 0.59460355, 0.5], "opts.py:18-20"),
    "transforms.crop": ("random", "README.md:167"),
    "transforms.flip": (0.5, "main.py:75, spatial_transforms.py:255"),
    "model.name": ("mobilenetv2_3d", "the port's README: mobilenetv2"),
    "model.options.width": (1.0, "the port's README: 1.0x"),
    "model.options.dropout": (0.9, "model.py:136 and 161, and the paper for UCF101"),
    "weights.manifest": ("weights_efficient3d", OURS),
    "weights.also": ([], OURS),
    "training.batch_size": (64, "README.md:171"),
    "training.reference_batch": (None, OURS),
    "training.optimizer": ("sgd", "opts.py:34"),
    "training.lr": (0.1, "README.md:168"),
    "training.momentum": (0.9, "opts.py:24"),
    "training.dampening": (0.9, "opts.py:25"),
    "training.weight_decay": (1e-3, "opts.py:26"),
    "training.groups": ([], "main.py: one group of all parameters"),
    "training.warmup_epochs": (0, "utils.py:80: none"),
    "training.clips_per_video": (1, "datasets/ucf101.py, make_dataset: one sample for training"),
    "training.trainable": ([], "utils.py:82: the rate of every group is set, so last_layer freezes nothing"),
    "training.amp_level": ("O0", "main.py: all in 32 bits"),
    "export.batch_sizes": ([1, 4, 8, 16, 32, 64], "the port's README, table of throughput"),
    "export.inference_batch": (16, "the port's preprocessing: inference_batch_size"),
    "evaluation.pool": ("softmax_mean", "test.py:14 and 46"),
}
FINE_TUNED: Table = {
    "weights.file": ("kinetics_mobilenetv2_1.0x_RGB_16_best.pth", "README.md:158 (there of a ShuffleNet)"),
    "weights.skip": (["classifier.1"], "model.py:161: another last layer"),
    "training.epochs": (40, OURS),
    "training.lr_steps": ([39, 54, 64, 69, 199, 249], "opts.py:23; epochs count from 1: main.py:147, utils.py:80"),
    "training.lr_factor": (0.1, "utils.py:80"),
    "training.checkpoint_steps": (50, OURS),
    "evaluation.skip_last_video": (False, OURS),
}
RELEASED: Table = {
    "weights.file": ("ucf101_mobilenetv2_1.0x_RGB_16_best.pth", "the port's README"),
    "weights.skip": ([], "the port's README: all of the file is loaded"),
    "training.epochs": (0, "the port's README: nothing is trained"),
    "evaluation.skip_last_video": (True, "test.py, test: the last video's clips are never pooled"),
}

# mindspore-ai/models at eab643f, research/cv/I3D: file and line. DM: google-deepmind/kinetics-i3d at 0667e88. The
# paper: arXiv 1705.07750. Where the book departs from the port on purpose, notebooks/i3d/published_numbers.md says why.
I3D: Table = {
    "data.split": (1, "README_CN.md: hmdb51_1.json, ucf101_01.json"),
    "data.frames.height": (256, "DM README: the shorter side (the port stores 240 and means to scale to 256)"),
    "data.frames.side": ("short", "DM README, src/tools/generate_rgb_jpgs.py"),
    "data.flow.bound": (20.0, "src/tools/convert_rgb_to_flow.py:27, DM README"),
    "sampling.name": ("centre", OURS),
    "sampling.frames": (64, "config.py:42, the paper, table 1"),
    "sampling.stride": (1, "src/transforms/temporal_transforms.py"),
    "sampling.test_frames": (None, "README_CN.md, eval.py (the program's default is 256)"),
    "sampling.last_start": (True, OURS),
    "transforms.size": (224, "config.py:41, DM README"),
    "transforms.short_side": (256, "src/transforms/spatial_transforms.py, CenterCrop, DM README"),
    "transforms.scales": ([0.875], "src/transforms/spatial_transforms.py, RandomCrop: 224 of 256"),
    "transforms.crop": ("random", "train.py:104"),
    "transforms.flip": (0.5, "train.py:104, src/transforms/spatial_transforms.py, RandomHorizontalFlip"),
    "model.name": ("i3d", "src/i3d.py"),
    "model.options.dropout": (0.5, "config.py:56 (kept), the paper"),
    "weights.manifest": ("weights_i3d", OURS),
    "weights.also": ([], OURS),
    "weights.skip": (["logits"], "src/model_factory.py: replace_logits"),
    "training.reference_batch": (None, OURS),
    "training.optimizer": ("adam", "config.py:57"),
    "training.lr": (0.01, "config.py:58"),
    "training.lr_factor": (0.5, "config.py:59"),
    "training.warmup_epochs": (0, "train.py:120: none"),
    "training.weight_decay": (1e-8, "config.py:63"),
    "training.groups": ([], "train.py:113"),
    "training.clips_per_video": (1, "src/get_dataset.py, make_dataset"),
    "training.trainable": (["Mixed_5", "logits"], "config.py:52"),
    "training.amp_level": ("O2", OURS),
    "training.loss_scale": (1024.0, OURS),
    "training.checkpoint_steps": (50, OURS),
    "training.validate_epochs": (5, OURS),
    "training.runs": ([{"name": "finetune", "seeds": [2022], "overrides": {}}], "train.py:51 (the seed)"),
    "export.batch_sizes": ([1, 4, 8], OURS),
    "export.inference_batch": (8, "export.py: batch_size"),
    "evaluation.compare_frames": ([250], "the paper, table 1: ten seconds"),
    "evaluation.pool": ("logit_mean", "DM i3d.py: logits are averaged over time"),
    "evaluation.fuse": ("logit_sum", "eval.py, eval_joint; DM evaluate_sample.py"),
}
I3D_STREAMS: dict[str, Table] = {
    "rgb": {
        "transforms.modality": ("rgb", "train.py, --mode"),
        "transforms.mean": ([127.5] * 3, "src/get_dataset.py, pixel_transform: v / 255 * 2 - 1"),
        "transforms.std": ([127.5] * 3, "src/get_dataset.py, pixel_transform"),
        "weights.file": ("rgb_imagenet.pt", "README_CN.md"),
        "training.epochs": (40, "README_CN.md, table of HMDB51"),
        "training.lr_steps": ([5, 10, 15, 20, 25, 30, 35], "config.py:60, train.py:130"),
        "training.lr_restarts": ([], "train.py:130: of flow only"),
        "training.keep_epochs": (8, "config.py:71, train.py:136: half of 16"),
    },
    "flow": {
        "transforms.modality": ("flow", "train.py, --mode"),
        "transforms.mean": ([127.5] * 2, "src/get_dataset.py, pixel_transform: v / 255 * 2 - 1"),
        "transforms.std": ([127.5] * 2, "src/get_dataset.py, pixel_transform"),
        "weights.file": ("flow_imagenet.pt", "README_CN.md"),
        "training.epochs": (60, "README_CN.md, table of HMDB51"),
        "training.lr_steps": ([5, 10, 15, 20, 25, 30, 35, 40, 50, 55], "config.py:60, train.py:122-128"),
        "training.lr_restarts": ([[45, 2.5e-4]], "train.py:122-128: set to 0.001, then halved twice at once"),
        "training.keep_epochs": (16, "config.py:71"),
    },
}
EIGHT_CARDS: Table = {"training.batch_size": (64, "config.py:64 and 82, README_CN.md: 8 on each of 8 cards")}
ONE_CARD: Table = {"training.batch_size": (8, "config.py:64")}

# The port: Ascend/ModelZoo-TensorFlow at a2c3332, TensorFlow/contrib/cv/econet/ECONet_tf_paper99. PT:
# mzolfaghari/ECO-pytorch at b175e7c. CF: mzolfaghari/ECO-efficient-video-understanding at 1e77cbd, its layers and, in
# models_ECO_Full, ucf101 and hmdb51. Where the book departs from the port on purpose, the chapter's page says why.
ECO: Table = {
    "data.split": (1, "the port, splits_txt: *_split_1_rawframes.txt"),
    "data.frames.height": (256, OURS),
    "data.frames.side": ("short", OURS),
    "sampling.name": ("segments", "the port, dataset.py; CF, video_data_layer.cpp"),
    "sampling.test_frames": (None, "one number of segments in training and test"),
    "transforms.modality": ("rgb", "the port, opts.py; CF, RGB alone"),
    "transforms.size": (224, "the port, train.py: patch_size; CF, ECO_full.prototxt: crop_size"),
    "transforms.channel_order": ("bgr", "the port, transforms.py: stack_then_normalize; CF, OpenCV reads so"),
    "transforms.std": ([1.0, 1.0, 1.0], "PT, models.py: input_std; values stay 0..255"),
    "transforms.scales": ([1.0, 0.875, 0.75, 0.66], "the port, train.py; CF, ECO_full.prototxt: scale_ratios"),
    "transforms.crop": ("tsn", "the port, transforms.py: fill_fix_offset; CF, ECO_full.prototxt: more_fix_crop"),
    "transforms.flip": (0.5, "the port, transforms.py: get_random_horizontal_flip; CF, ECO_full.prototxt: mirror"),
    "model.name": ("eco_full", "the port's README: ECOfull"),
    "model.options.dropout": (0.6, "CF, ECO_full.prototxt: of the 2-D features (the port keeps 0.6)"),
    "model.options.dropout_3d": (0.5, "CF, ECO_full.prototxt: of the 3-D features"),
    "weights.manifest": ("weights_eco", OURS),
    "weights.also": ([], OURS),
    "training.reference_batch": (None, OURS),
    "training.optimizer": ("sgd", "the port, train.py; CF, solver.prototxt"),
    "training.momentum": (0.9, "the port, opts.py; CF, solver.prototxt"),
    "training.dampening": (0.0, "TensorFlow's and Caffe's momentum have none"),
    "training.weight_decay": (5e-4, "the port, opts.py (its loss excludes it); CF, solver.prototxt"),
    "training.lr_factor": (0.1, "CF, solver.prototxt: gamma"),
    "training.warmup_epochs": (0, "none"),
    "training.clips_per_video": (1, "the port, dataset.py"),
    "training.trainable": ([], "the port, train.py: all layers"),
    "training.norms": ("trained", "PT, run_demo_ECO_Full.sh: --no_partialbn; CF, ECO_full.prototxt"),
    "training.plateau": (None, "PT alone: --num_saturate"),
    "training.amp_level": ("O0", "CF, all in 32 bits"),
    "training.checkpoint_steps": (50, OURS),
    "training.runs": ([{"name": "finetune", "seeds": [1], "overrides": {}}], OURS),
    "export.batch_sizes": ([1, 4, 8, 16], "the port's README, table of speeds, and its OM file of one video"),
    "export.inference_batch": (1, "the port, scripts/convert_data2bin.py"),
    "evaluation.pool": ("softmax_mean", "one clip a video: nothing is pooled"),
}
ECO_4: Table = {
    "sampling.frames": (4, "the port, opts.py: num_segments"),
    "sampling.test_parts": ("fractional", "the port, dataset.py"),
    "transforms.short_side": (256, "PT, models.py: scale_size; the port, train.py: resize"),
    "transforms.keep_aspect": (True, "PT, transforms.py: GroupScale (the port squeezes)"),
    "transforms.mean": ([104.0, 117.0, 128.0], "the port, train.py: normalize_list; PT, models.py: input_mean"),
    "weights.file": (
        "ECO_Full_rgb_model_Kinetics.pth.tar",
        "PT, README; what the port begins with is taken for it, converted",
    ),
    "weights.skip": (["fc"], "the port, train.py: no variable with fc in its name"),
    "training.epochs": (30, "the port, opts.py"),
    "training.batch_size": (16, "the port, opts.py"),
    "training.lr": (1e-4, "the port, opts.py"),
    "training.lr_steps": ([], "the port, opts.py: at epoch 100 of 30"),
    "training.nesterov": (False, "the port, train.py: MomentumOptimizer"),
    "training.clip_norm": (None, "the port, train.py: none"),
    "training.accumulate": (1, "the port, train.py: none"),
    "training.groups": (
        [
            {"kind": "norms", "prefixes": [], "weight_decay": 0.0, "lr_factor": 1.0},
            {"kind": "biases", "prefixes": [], "weight_decay": 0.0, "lr_factor": 1.0},
        ],
        "the port, model/econet.py: weights_regularizer",
    ),
    "evaluation.compare_frames": ([8, 16], OURS),
}
ECO_RELEASED: Table = {
    **ECO_4,
    "transforms.keep_aspect": (False, "the port, transforms.py: resize, to 256 x 256"),
    "model.options.pools": ("port", "the port, model/econet.py: padded before and after, SAME"),
    "model.options.eps": (1e-3, "the port, model/econet.py: slim's default"),
    "weights.file": ("ucf101_best.pb", "Ascend/ModelZoo-TensorFlow, ACL_TensorFlow, ECONet_for_ACL, README"),
    "weights.skip": ([], "all of the file is loaded"),
    "training.epochs": (0, "nothing is trained"),
}
ECO_16: Table = {
    **ECO_4,
    "sampling.frames": (16, "CF, ECO_full.prototxt: num_segments"),
    "sampling.test_parts": ("whole", "CF, video_data_layer.cpp: average_duration"),
    "transforms.short_side": (240, "CF: centre 224 of frames of 320 x 240"),
    "transforms.mean": ([104.0, 117.0, 123.0], "CF, ECO_full.prototxt: mean_value"),
    "weights.file": ("ECO_full_kinetics.caffemodel", "CF, download_models.sh"),
    "training.lr": (1e-3, "CF, solver.prototxt: base_lr"),
    "training.nesterov": (True, "CF, solver.prototxt: Nesterov"),
    "training.clip_norm": (40.0, "CF, solver.prototxt: clip_gradients"),
    "training.accumulate": (2, "CF, solver.prototxt: iter_size"),
    "training.groups": (
        [
            {"kind": "norms", "prefixes": [], "weight_decay": 0.0, "lr_factor": 1.0},
            {"kind": "biases", "prefixes": [], "weight_decay": 0.0, "lr_factor": 2.0},
        ],
        "CF, ECO_full.prototxt, 3-D part and classifier; PT, models.py: get_optim_policies",
    ),
    "evaluation.compare_frames": ([4, 8, 32], OURS),
}
ECO_16_UCF101: Table = {
    "training.epochs": (15, "CF, solver.prototxt: max_iter 4500"),
    "training.lr_steps": ([3, 7, 10, 13], "CF, solver.prototxt: stepsize 1000"),
    "training.batch_size": (32, "CF, ECO_full.prototxt: batch_size 16, twice"),
}
ECO_16_HMDB51: Table = {
    "training.epochs": (30, "CF, solver.prototxt: max_iter 4500"),
    "training.lr_steps": ([7, 13, 20, 27], "CF, solver.prototxt: stepsize 1000"),
    "training.batch_size": (24, "CF, ECO_full.prototxt: batch_size 12, twice"),
}

# PD: PaddlePaddle/models at b71cf63 (release/1.8), PaddleCV/video: configs/stnet.yaml, reader/kinetics_reader.py,
# models/stnet. The port: mindspore-ai/models at baa3220, research/cv/stnet. Where the book departs from the port on
# purpose, the chapter's page says why.
STNET: Table = {
    "data.manifest": ("kinetics400", "PD, configs/stnet.yaml; the port's README"),
    "data.split": (1, OURS),
    "data.frames.height": (288, OURS),
    "data.frames.side": ("short", OURS),
    "sampling.name": ("superframes", "PD, reader/kinetics_reader.py; the port, dataset.py"),
    "sampling.frames": (5, "PD, configs/stnet.yaml: seglen"),
    "sampling.segments": (7, "PD, configs/stnet.yaml: seg_num"),
    "sampling.test_start": ("centred", "PD, reader/kinetics_reader.py, of packs; the port, dataset.py"),
    "transforms.modality": ("rgb", "PD, reader/kinetics_reader.py"),
    "transforms.box": ([341, 256], "PD, reader/kinetics_reader.py: group_scale, target_size 256; the port, dataset.py"),
    "transforms.mean": ([123.675, 116.28, 103.53], "PD, configs/stnet.yaml: image_mean, of 255"),
    "transforms.std": ([58.395, 57.12, 57.375], "PD, configs/stnet.yaml: image_std, of 255"),
    "transforms.crop": ("random", "PD, reader/kinetics_reader.py: group_multi_scale_crop is not called"),
    "transforms.flip": (0.5, "PD, reader/kinetics_reader.py: group_random_flip"),
    "model.name": ("stnet_resnet50", "PD, configs/stnet.yaml: num_layers 50"),
    "weights.manifest": ("weights_stnet", OURS),
    "weights.also": ([], OURS),
    "weights.skip": ([], "what the file does not hold is kept by its layout"),
    "training.reference_batch": (None, OURS),
    "training.optimizer": ("sgd", "PD, models/stnet: Momentum"),
    "training.momentum": (0.9, "PD, models/stnet: momentum"),
    "training.dampening": (0.0, "Paddle's and MindSpore's momentum have none"),
    "training.nesterov": (False, "PD, models/stnet: Momentum without it"),
    "training.lr": (0.01, "PD, configs/stnet.yaml: learning_rate"),
    "training.lr_factor": (0.1, "PD, configs/stnet.yaml: learning_rate_decay"),
    "training.lr_steps": ([20, 40], "PD, models/stnet: at one and two thirds of the epochs; the port, after 20 and 40"),
    "training.weight_decay": (1e-4, "PD, configs/stnet.yaml: l2_weight_decay, of all parameters"),
    "training.groups": ([], "PD, models/stnet: one group"),
    "training.warmup_epochs": (0, "none"),
    "training.clips_per_video": (1, "PD, reader/kinetics_reader.py"),
    "training.amp_level": ("O0", "PD, in 32 bits"),
    "training.checkpoint_steps": (200, OURS),
    "training.validate_epochs": (10, "the port, train.py: every 10 epochs"),
    "training.runs": ([{"name": "train", "seeds": [1], "overrides": {}}], "the port, train.py: set_seed(1)"),
    "export.inference_batch": (1, "the port, export.py: batch 1"),
    "evaluation.pool": ("softmax_mean", "one clip a video: nothing is pooled"),
}
STNET_TRAINED: Table = {
    "transforms.size": (224, "PD, configs/stnet.yaml: target_size, in training"),
    "transforms.scales": ([0.875], "PD, reader/kinetics_reader.py: 224 of 256"),
    "weights.file": ("resnet50-0676ba61.pth", OURS),
    "training.epochs": (60, "PD, configs/stnet.yaml: epoch"),
    "training.batch_size": (128, "PD, configs/stnet.yaml: batch_size, of 8 devices"),
    "export.batch_sizes": ([1, 4, 8], OURS),
    "evaluation.compare_frames": ([15, 125], "PD, configs/stnet.yaml: seg_num 25 in the test"),
}
STNET_RELEASED: Table = {
    **STNET_TRAINED,
    "model.options.xception": ("dense", "the port, Stnet_Res_model.py: group is commented out"),
    "model.options.max_pool": ("port", "the port, Stnet_Res_model.py: pad_mode same"),
    "weights.file": ("stnet_ascend_v1100_kinetics400_research_cv_acc69.16.ckpt", "mindspore-ai/hub"),
    "training.epochs": (0, "nothing is trained"),
}
STNET_AUTHORS: Table = {
    **STNET_TRAINED,
    "sampling.test_frames": (125, "PD, configs/stnet.yaml: seg_num 25 in the test"),
    "transforms.size": (256, "PD, configs/stnet.yaml: target_size, in the test"),
    "transforms.scales": ([1.0], OURS),
    "weights.file": ("STNET.pdparams", "PD, README"),
    "training.epochs": (0, "nothing is trained"),
    "export.batch_sizes": ([1], OURS),
    "evaluation.compare_frames": ([15, 35], OURS),
}

# PS: facebookresearch/SlowFast at 287ec00, SHORT: its configs/AVA/SLOWFAST_32x2_R50_SHORT.yaml. The port:
# mindspore-ai/models, research/cv/slowfast.
SLOWFAST: Table = {
    "task.name": ("detection", "PS, slowfast/models/losses.py: bce"),
    "task.boxes": (28, "the port, ava_dataset.py: MAX_NUM_BOXES_PER_FRAME"),
    "data.manifest": ("ava", "SHORT: v2.2 lists"),
    "data.split": (1, OURS),
    "data.frames.height": (None, "PS, DATASET.md: frames are extracted as large as they are"),
    "data.boxes.min_score": (0.8, "SHORT: DETECTION_SCORE_THRESH"),
    "data.boxes.learn_detected": (True, "SHORT: TRAIN_PREDICT_BOX_LISTS"),
    "data.boxes.test": ("detected", "SHORT: TEST_PREDICT_BOX_LISTS"),
    "sampling.name": ("keyframe", "PS, slowfast/datasets/ava_dataset.py"),
    "sampling.frames": (32, "SHORT: NUM_FRAMES"),
    "sampling.stride": (2, "SHORT: SAMPLING_RATE"),
    "sampling.pathways.slow": (4, "SHORT: ALPHA"),
    "sampling.pathways.fast": (1, "PS, slowfast/datasets/utils.py: pack_pathway_output"),
    "transforms.modality": ("rgb", "PS, AVA.BGR False"),
    "transforms.channel_order": ("rgb", "PS, AVA.BGR False"),
    "transforms.size": (224, "SHORT: TRAIN_CROP_SIZE"),
    "transforms.jitter": ([256, 320], "SHORT: TRAIN_JITTER_SCALES"),
    "transforms.short_side": (256, "users of SHORT who report 24.9; the file says 224"),
    "transforms.test_size": ([256, 640], OURS),
    "transforms.mean": ([114.75] * 3, "PS, DATA.MEAN 0.45 of 1"),
    "transforms.std": ([57.375] * 3, "PS, DATA.STD 0.225 of 1"),
    "transforms.flip": (0.5, "PS, ava_dataset.py: horizontal_flip_list(0.5)"),
    "model.name": ("slowfast_r50", "SHORT: DEPTH 50"),
    "weights.manifest": ("weights_slowfast", OURS),
    "weights.file": ("SLOWFAST_8x8_R50.pkl", "PS, MODEL_ZOO.md; the port's README"),
    "weights.skip": (["pred_w", "pred_b"], "another number of classes"),
    "weights.also": ([], OURS),
    "training.epochs": (20, "SHORT: MAX_EPOCH"),
    "training.batch_size": (64, "SHORT: TRAIN.BATCH_SIZE"),
    "training.reference_batch": (None, OURS),
    "training.optimizer": ("sgd", "SHORT: OPTIMIZING_METHOD"),
    "training.lr": (0.1, "SHORT: BASE_LR; the port 0.15"),
    "training.momentum": (0.9, "SHORT: MOMENTUM"),
    "training.dampening": (0.0, "PS, defaults: SOLVER.DAMPENING"),
    "training.nesterov": (False, "SHORT"),
    "training.weight_decay": (1e-7, "SHORT: WEIGHT_DECAY"),
    "training.groups": (
        [{"kind": "norms", "prefixes": [], "weight_decay": 0.0, "lr_factor": 1.0}],
        "PS, defaults: BN.WEIGHT_DECAY 0",
    ),
    "training.warmup_epochs": (5, "SHORT: WARMUP_EPOCHS; from 0.000125, here from nearly 0"),
    "training.lr_steps": ([10, 15], "SHORT: STEPS"),
    "training.lr_factor": (0.1, "SHORT: LRS"),
    "training.norms": ("trained", "SHORT: BN.FREEZE is not set"),
    "training.amp_level": ("O0", "PS, in 32 bits"),
    "training.checkpoint_steps": (500, OURS),
    "training.validate_epochs": (5, OURS),
    "training.runs": ([{"name": "train", "seeds": [1], "overrides": {}}], OURS),
    "export.batch_sizes": ([1, 4, 8], OURS),
    "export.inference_batch": (8, "the port, export.py: TEST.BATCH_SIZE"),
    "evaluation.validate_every": (4, "PS, ava_helper.py: seconds % 4 while training"),
}

SETUPS: dict[tuple[str, str, str], Table] = {
    ("efficient3d", "ucf101", "rgb"): {**EFFICIENT3D, **FINE_TUNED},
    ("efficient3d", "ucf101_released", "rgb"): {**EFFICIENT3D, **RELEASED},
    **{
        ("i3d", f"{data}{cards}", stream): {**I3D, **own, **batch, "data.manifest": (data, "README_CN.md")}
        for data in ("hmdb51", "ucf101")
        for cards, batch in (("", EIGHT_CARDS), ("_1card", ONE_CARD))
        for stream, own in I3D_STREAMS.items()
    },
    **{
        ("eco", name, "rgb"): {**ECO, **own, "data.manifest": (name.partition("_")[0], "the port's README; CF, README")}
        for name, own in {
            "ucf101": ECO_4,
            "hmdb51": ECO_4,
            "ucf101_released": ECO_RELEASED,
            "ucf101_16": {**ECO_16, **ECO_16_UCF101},
            "hmdb51_16": {**ECO_16, **ECO_16_HMDB51},
        }.items()
    },
    **{
        ("stnet", f"kinetics400{name}", "rgb"): {**STNET, **own}
        for name, own in {
            "": STNET_TRAINED,
            "_1card": {
                **STNET_TRAINED,
                "training.batch_size": (16, "the port, train.py: of one device"),
                "training.reference_batch": (128, "the rate in proportion to the batch"),
            },
            "_released": STNET_RELEASED,
            "_25x256": STNET_AUTHORS,
        }.items()
    },
    ("slowfast", "ava22", "rgb"): SLOWFAST,
    ("slowfast", "ava22_1card", "rgb"): {
        **SLOWFAST,
        "training.batch_size": (8, "SHORT: of one of 8 devices"),
        "training.reference_batch": (64, "the rate in proportion to the batch"),
    },
    ("slowfast", "ava22_released", "rgb"): {
        **SLOWFAST,
        "model.options.roi": ("port", "the port, head_helper.py: ROIAlign with sample_num 2, roi_end_mode 1"),
        "weights.file": ("slowfast_ascend_v1100_ava_research_cv_acc21.93.ckpt", "mindspore-ai/hub"),
        "weights.skip": ([], "all is loaded"),
        "training.epochs": (0, "nothing is trained"),
    },
}
RATES = {
    ("efficient3d", "ucf101"): [0.1] * 39 + [0.01],  # utils.py:80: lowered in the epoch that is called 40
    ("efficient3d", "ucf101_released"): [],
    ("eco", "ucf101"): [1e-4] * 30,
    ("eco", "hmdb51"): [1e-4] * 30,
    ("eco", "ucf101_released"): [],
    ("eco", "ucf101_16"): [1e-3] * 3 + [1e-4] * 4 + [1e-5] * 3 + [1e-6] * 3 + [1e-7] * 2,
    ("stnet", "kinetics400"): [1e-2] * 20 + [1e-3] * 20 + [1e-4] * 20,
    ("stnet", "kinetics400_1card"): [1.25e-3] * 20 + [1.25e-4] * 20 + [1.25e-5] * 20,
    ("stnet", "kinetics400_released"): [],
    ("stnet", "kinetics400_25x256"): [],
    # SHORT: LRS 1, 0.1, 0.01 of BASE_LR at STEPS 0, 10, 15. In the steps of warm-up a line, so only its end is here.
    ("slowfast", "ava22_released"): [],
    ("eco", "hmdb51_16"): [1e-3] * 7 + [1e-4] * 6 + [1e-5] * 7 + [1e-6] * 7 + [1e-7] * 3,
}


def recipe_of(chapter: str, name: str) -> Recipe:
    return Recipe.load(NOTEBOOKS / chapter / "recipes" / f"{name}.yaml")


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Keys, joined by dots, and values of what is no mapping itself."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def said(chapter: str, recipe: Recipe) -> dict[str, Any]:
    """Everything that a recipe decides and that is not simply a default of its schema."""
    least = {
        "chapter": chapter,
        "name": "least",
        "title": "Least",
        "data": {"manifest": ""},
        "sampling": {"name": recipe.sampling.name},
        "transforms": {"modality": "flow", "mean": [0.0, 0.0], "std": [1.0, 1.0]}
        if recipe.transforms.modality == "flow"
        else {},
        "model": {"name": ""},
        "training": {"epochs": 1, "batch_size": 1, "lr": 1.0},
    }
    defaults = dict(leaves(Recipe.model_validate(least).as_dict()))
    whole = leaves({section: recipe.as_dict()[section] for section in SECTIONS})
    return {key: value for key, value in whole if defaults.get(key) != value}


@pytest.mark.parametrize(("chapter", "name", "stream"), SETUPS, ids=map("-".join, SETUPS))
def test_constants_are_those_of_the_published_set_up(chapter: str, name: str, stream: str) -> None:
    table, recipe = SETUPS[chapter, name, stream], recipe_of(chapter, name).for_stream(stream)
    everything = dict(leaves(recipe.as_dict()))
    assert {key: everything.get(key) for key in table} == {key: value for key, (value, _) in table.items()}
    assert said(chapter, recipe).keys() <= table.keys(), "a constant without a source in the table"


@pytest.mark.parametrize(("chapter", "name", "stream"), SETUPS, ids=map("-".join, SETUPS))
def test_clips_are_what_the_weights_were_trained_on(chapter: str, name: str, stream: str) -> None:
    """But for what the published set-up itself changes.

    Those are the order of colours in the first chapter's fine-tuning, the number of segments in the port of ECO, whose
    weights hang on none, and the larger pictures of the authors' test of StNet.
    """
    recipe = recipe_of(chapter, name).for_stream(stream)
    assert recipe.weights is not None
    assert recipe.weights.manifest is not None
    assert recipe.weights.file is not None
    source = load_weights(recipe.weights.manifest).file(recipe.weights.file)
    needed = source.transform
    if get_layout(source.layout).part:  # of pictures; what must agree are their values
        assert (recipe.transforms.mean, recipe.transforms.std) == (needed.mean, needed.std)
        return
    sampling = recipe.sampling
    how = sampling.name if sampling.name in ("keyframe", "segments", "superframes") else "consecutive"
    frames = needed.frames if how == "segments" else sampling.drawn
    if (chapter, name) == ("stnet", "kinetics400_25x256"):
        needed = needed.model_copy(update={"size": 256, "scales": (1.0,)})
    clips = {"frames": frames, "sampling": how, "stride": getattr(sampling, "stride", None)}
    clips |= {"pathways": sampling.pathways, "boxes": getattr(recipe.task, "boxes", None)}
    if how == "keyframe" and needed.boxes is None:  # from clips without boxes: other places in a video, whole frames
        clips |= {"sampling": needed.sampling, "boxes": None, "test_size": needed.test_size}
    expected = needed.model_copy(update={"channel_order": "rgb"}) if chapter == "efficient3d" else needed
    assert recipe.transforms.model_dump() | clips == expected.model_dump()


@pytest.mark.parametrize(("name", "iterations", "every"), [("ucf101_16", 4500, 1000), ("hmdb51_16", 4500, 1000)])
def test_epochs_of_eco_are_the_authors_iterations(name: str, iterations: int, every: int) -> None:
    """Caffe counts steps and begins the list anew in the midst of them; here whole epochs come nearest."""
    recipe = recipe_of("eco", name)
    videos = load_dataset(recipe.data.manifest).splits[str(recipe.data.split)].train
    an_epoch = videos / recipe.training.batch_size  # of their iterations
    assert recipe.training.epochs == round(iterations / an_epoch)
    falls = [round(fall / an_epoch) for fall in range(every, iterations, every)]
    assert list(recipe.training.lr_steps) == falls


def test_every_recipe_at_full_size_has_its_table() -> None:
    chapters = {chapter for chapter, _, _ in SETUPS}
    files = [path for path in NOTEBOOKS.glob("*/recipes/*.yaml") if path.stem != "mini"]
    full = {(path.parts[-3], path.stem) for path in files if path.parts[-3] in chapters}
    assert {(chapter, name) for chapter, name, _ in SETUPS} == full
    for chapter, name in full:
        assert set(recipe_of(chapter, name).stream_names) == {s for c, n, s in SETUPS if (c, n) == (chapter, name)}


@pytest.mark.parametrize(("chapter", "name"), RATES, ids=map("-".join, RATES))
def test_rates_of_the_published_trainings(chapter: str, name: str) -> None:
    """Those of I3D are in tests/training/test_schedule.py."""
    expected = [rate for rate in RATES[chapter, name] for _ in range(2)]
    assert step_rates(recipe_of(chapter, name).training, 2) == pytest.approx(expected, rel=1e-12, abs=0)


def test_rates_of_slowfast_are_those_of_its_program() -> None:
    """PS, slowfast/utils/lr_policy.py: a line from 0.000125 to the rate of epoch 5, step by step; then it falls."""
    steps, base, start = 3056, 0.1, 1.25e-4
    found = step_rates(recipe_of("slowfast", "ava22").training, steps)
    line = [start + (base - start) * step / (5 * steps) for step in range(5 * steps)]
    expected = [*line, *[base] * 5 * steps, *[base / 10] * 5 * steps, *[base / 100] * 5 * steps]
    assert found == pytest.approx(expected, rel=1e-12, abs=start)
    assert found[5 * steps :] == pytest.approx(expected[5 * steps :], rel=1e-12)
    one = step_rates(recipe_of("slowfast", "ava22_1card").training, steps)
    assert one == pytest.approx([rate / 8 for rate in found])


@pytest.mark.parametrize(
    "path", sorted(NOTEBOOKS.glob("*/recipes/*.yaml")), ids=lambda path: f"{path.parts[-3]}-{path.stem}"
)
def test_a_recipe_written_is_the_same_recipe(path: Path, tmp_path: Path) -> None:
    """What a run leaves beside its record has the digest that the record names."""
    recipe = Recipe.load(path)
    (tmp_path / path.name).write_text(recipe.as_yaml(), encoding="utf-8")
    assert Recipe.load(tmp_path / path.name).sha256() == recipe.sha256()
