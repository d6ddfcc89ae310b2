#include "core/nn/plain_passes.h"

namespace baleen {
namespace {

thread_local int depth = 0;

}  // namespace

PlainPasses::PlainPasses() { ++depth; }
PlainPasses::~PlainPasses() { --depth; }
bool PlainPasses::active() { return depth > 0; }

}  // namespace baleen
