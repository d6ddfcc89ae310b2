#include "launch/wiring.h"

#include "core/nn/registry.h"
#include "core/nn/unet.h"
#include "launch/verbs/verbs.h"

namespace baleen {

// Everything that can be named on the command line or in a recipe is listed here by explicit calls:
// what registers itself in a static initialiser vanishes from a static library without a word.

std::vector<Verb> make_verbs() {
  return {make_pack_verb(),    make_plan_verb(),    make_run_verb(),        make_launch_verb(),
          make_status_verb(),  make_report_verb(),  make_stack_verb(),      make_analyze_verb(),
          make_explain_verb(), make_match_verb(),   make_relabel_verb(),    make_export_verb(),
          make_verify_verb(),  make_inspect_verb(), make_duplicates_verb(), make_models_verb(),
          make_doctor_verb(),  make_docs_verb()};
}

Extensions make_extensions() {
  Extensions extensions;
  register_backbones(extensions.backbones);
  add_unet(extensions.backbones);  // no classifier, so none of the above
  register_losses(extensions.losses);
  return extensions;
}

}  // namespace baleen
