#pragma once

#include "launch/verb.h"

namespace baleen {

// One function per verb, each in its own file of this folder; launch/wiring.cpp lists them.
Verb make_pack_verb();
Verb make_plan_verb();
Verb make_run_verb();
Verb make_launch_verb();
Verb make_status_verb();
Verb make_report_verb();
Verb make_stack_verb();
Verb make_analyze_verb();
Verb make_explain_verb();
Verb make_export_verb();
Verb make_verify_verb();
Verb make_inspect_verb();
Verb make_duplicates_verb();
Verb make_match_verb();
Verb make_relabel_verb();
Verb make_models_verb();
Verb make_doctor_verb();
Verb make_docs_verb();

}  // namespace baleen
