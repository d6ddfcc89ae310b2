#pragma once

#include "launch/verb.h"

namespace baleen {

// One function per verb, each in its own file of this folder; launch/wiring.cpp lists them.
Verb make_models_verb();
Verb make_doctor_verb();

}  // namespace baleen
