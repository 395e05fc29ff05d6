/* The module's table: what the program sees of it. */
#include "group.cuh"
#include "limits.cuh"

#ifndef ZH_CUDA_BACKEND
#define ZH_CUDA_BACKEND "cuda"
#endif

extern "C" __attribute__((visibility("default"))) const zh_device_api *zh_device_module(void) {
  static const zh_device_api table = [] {
    zh_device_api t = {};
    t.abi = ZH_DEVICE_ABI;
    t.backend = ZH_CUDA_BACKEND;
    t.build = ZH_CUDA_ARCHITECTURES;
    t.count = zh_cuda_count;
    t.facts = zh_cuda_facts;
    t.open = zh_cuda_open;
    t.close = zh_cuda_close;
    t.alloc = zh_cuda_alloc;
    t.release = zh_cuda_release;
    t.alloc_host = zh_cuda_alloc_host;
    t.release_host = zh_cuda_release_host;
    t.upload = zh_cuda_upload;
    t.download = zh_cuda_download;
    t.copy = zh_cuda_copy;
    t.fill = zh_cuda_fill;
    t.wait = zh_cuda_wait;
    t.mark = zh_cuda_mark;
    t.event = zh_cuda_event;
    t.release_event = zh_cuda_release_event;
    t.record = zh_cuda_record;
    t.elapsed_s = zh_cuda_elapsed_s;
    t.begin_graph = zh_cuda_begin_graph;
    t.end_graph = zh_cuda_end_graph;
    t.launch = zh_cuda_launch_graph;
    t.release_graph = zh_cuda_release_graph;
    t.rounds = zh_cuda_rounds;
    t.few_tokens = 32;
    t.embed = zh_cuda_embed;
    t.norm = zh_cuda_norm;
    t.product = zh_cuda_product;
    t.head_product = zh_cuda_head_product;
    t.grouped = zh_cuda_grouped;
    t.rope = zh_cuda_rope;
    t.store = zh_cuda_store;
    t.attention_scratch = zh_cuda_attention_scratch;
    t.attention = zh_cuda_attention;
    t.activate = zh_cuda_activate;
    t.add = zh_cuda_add;
    t.gather = zh_cuda_gather;
    t.slices = zh_cuda_slices;
    t.shape_logits = zh_cuda_shape_logits;
    t.argmax = zh_cuda_argmax;
    t.advance = zh_cuda_advance;
    t.sum_of_bits = zh_cuda_sum_of_bits;
    t.generate = zh_cuda_generate;
    t.route = zh_cuda_route;
    t.combine = zh_cuda_combine;
    t.answer = zh_cuda_answer;
    t.product_variants = zh_cuda_product_variants;
    t.product_variant = zh_cuda_product_variant;
    t.choose_product = zh_cuda_choose_product;
    t.product_room = zh_cuda_product_room_bytes;
    t.lend_product_room = zh_cuda_lend_product_room;
    t.device_rounds = zh_cuda_device_rounds;
    t.draw = zh_cuda_draw;
    t.scale_columns = zh_cuda_scale_columns;
    t.begin_program = zh_cuda_begin_program;
    t.end_program = zh_cuda_end_program;
    t.limits = &zh_cuda_limits;
    t.groups = &zh_cuda_groups;
    return t;
  }();
  return &table;
}
