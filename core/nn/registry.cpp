#include "core/nn/registry.h"

#include "core/nn/densenet.h"
#include "core/nn/resnet.h"
#include "core/nn/simplenet.h"

namespace baleen {

void register_backbones(BackboneRegistry& registry) {
  add_resnets(registry);
  add_densenets(registry);
  add_simplenets(registry);
}

}  // namespace baleen
