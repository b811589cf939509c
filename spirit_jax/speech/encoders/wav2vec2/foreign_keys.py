"""Keys of foreign configurations of the wav2vec 2.0 family: those of which only some values are implemented,
and those that have no influence on a frame, by the reason why.

`checkpoints` reads the other keys. The names are those of fairseq and transformers.
"""

FAIRSEQ_FIXED = {  # keys whose other values are other architectures; absent means the first value
    "activation_fn": ("gelu",),
    "layer_type": ("transformer",),
    "pos_conv_depth": (1,),
    "extractor_mode": ("default", "layer_norm"),
    "quantize_input": (False,),
    "crop_seq_to_multiple": (1,),
}
FAIRSEQ_MODEL = {
    "training": (
        *("dropout", "attention_dropout", "activation_dropout", "encoder_layerdrop", "dropout_input"),
        *("dropout_features", "feature_grad_mult", "checkpoint_activations", "fp16"),
    ),
    "masking, for training": (
        *("mask_length", "mask_prob", "mask_selection", "mask_other", "no_mask_overlap", "mask_min_space"),
        *("mask_channel_length", "mask_channel_prob", "mask_channel_selection", "mask_channel_other"),
        *("no_mask_channel_overlap", "mask_channel_min_space", "mask_channel_before", "mask_dropout"),
        "require_same_masks",
    ),
    "the objective of pre-training, after the encoder": (
        *("label_rate", "final_dim", "untie_final_proj", "logit_temp", "target_glu", "latent_temp"),
        *("skip_masked", "skip_nomask", "pred_masked_weight", "pred_nomask_weight", "loss_weights"),
        *("quantize_targets", "same_quantizer", "quantizer_depth", "quantizer_factor", "latent_vars"),
        *("latent_groups", "latent_dim", "num_negatives", "negatives_from_everywhere"),
        *("cross_sample_negatives", "codebook_negatives"),
    ),
    "padding, which is masked": ("required_seq_len_multiple", "max_positions"),
    "other values of layer_type": (
        *("depthwise_conv_kernel_size", "attn_type", "pos_enc_type"),
        *("adp_num", "adp_dim", "adp_act_fn", "adp_trf_idx"),
    ),
    "a name; the weights must be those of this architecture": ("_name",),
}
FAIRSEQ_TASK = {
    "a name, paths and labels": (
        *("_name", "data", "labels", "label_dir", "label_rate", "fine_tuning", "single_target"),
        *("store_labels", "add_decoder", "autoregressive", "text_compression_level", "post_save_script"),
        *("eval_wer", "eval_wer_config", "eval_wer_tokenizer", "eval_wer_post_process", "eval_bleu"),
    ),
    "which recordings are trained on, and how they are cropped": (
        *("enable_padding", "max_keep_size", "max_sample_size", "min_sample_size", "random_crop"),
        *("pad_audio", "multi_corpus_keys", "multi_corpus_sampling_weights", "binarized_dataset"),
        *("num_batch_buckets", "rebuild_batches", "subsample", "seed", "tpu"),
    ),
    "masking, for training": ("precompute_mask_config", "precompute_mask_indices", "inferred_w2v_config"),
}
HF_FIXED = {  # as FAIRSEQ_FIXED
    "model_type": ("hubert", "wav2vec2"),
    "hidden_act": ("gelu",),
    "feat_extract_activation": ("gelu",),
    "feat_extract_norm": ("group", "layer"),
    "feat_proj_layer_norm": (True,),
    "add_adapter": (False,),
    "adapter_attn_dim": (None,),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "pruned_heads": ({}, None),
}
HF_MODEL = {
    "training": (
        *("activation_dropout", "attention_dropout", "feat_extract_dropout", "feat_proj_dropout"),
        *("feat_quantizer_dropout", "final_dropout", "hidden_dropout", "hidden_dropout_prob", "layerdrop"),
        *("initializer_range", "gradient_checkpointing", "freeze_feat_extract_train"),
        *("ctc_loss_reduction", "ctc_zero_infinity", "contrastive_logits_temperature", "num_negatives"),
        *("diversity_loss_weight", "problem_type", "tf_legacy_loss"),
    ),
    "masking, for training": (
        *("apply_spec_augment", "mask_time_prob", "mask_time_length", "mask_time_min_masks"),
        *("mask_feature_prob", "mask_feature_length", "mask_feature_min_masks", "mask_channel_length"),
        *("mask_channel_min_space", "mask_channel_other", "mask_channel_prob", "mask_channel_selection"),
        *("mask_time_min_space", "mask_time_other", "mask_time_selection", "no_mask_channel_overlap"),
        "no_mask_time_overlap",
    ),
    "heads after the encoder; the style classifier reads its own": (
        *("vocab_size", "classifier_proj_size", "use_weighted_layer_sum", "id2label", "label2id"),
        *("num_labels", "tdnn_dim", "tdnn_kernel", "tdnn_dilation", "xvector_output_dim"),
        *("codevector_dim", "proj_codevector_dim", "num_codevector_groups", "num_codevectors_per_group"),
    ),
    "an adapter, which add_adapter excludes": (
        *("adapter_kernel_size", "adapter_stride", "num_adapter_layers", "output_hidden_size"),
    ),
    "generation and tokens": (
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id", "bad_words_ids", "begin_suppress_tokens"),
        *("suppress_tokens", "max_length", "min_length", "do_sample", "early_stopping", "num_beams"),
        *("num_beam_groups", "diversity_penalty", "temperature", "top_k", "top_p", "typical_p"),
        *("repetition_penalty", "length_penalty", "no_repeat_ngram_size", "num_return_sequences"),
        *("encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "remove_invalid_values"),
        *("prefix", "use_cache", "tokenizer_class", "processor_class", "tie_word_embeddings"),
        *("tie_encoder_decoder", "is_encoder_decoder", "cross_attention_hidden_size"),
    ),
    "names, types and what a call returns": (
        *("_name_or_path", "_commit_hash", "architectures", "auto_map", "finetuning_task"),
        *("task_specific_params", "transformers_version", "torch_dtype", "dtype", "torchscript"),
        *("use_bfloat16", "return_dict", "return_dict_in_generate", "output_attentions"),
        *("output_hidden_states", "output_scores", "chunk_size_feed_forward", "attn_implementation"),
        *("_attn_implementation", "_attn_implementation_autoset"),
    ),
}
HF_PREPROCESSOR_FIXED = {"sampling_rate": (16000,), "feature_size": (1,)}
HF_PREPROCESSOR = {
    "names": ("feature_extractor_type", "processor_class"),
    "padding, which is masked": ("padding_value", "padding_side", "return_attention_mask"),
}
