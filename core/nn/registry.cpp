#include "core/nn/registry.h"

#include "core/nn/bninception.h"
#include "core/nn/box_regressor.h"
#include "core/nn/conv4.h"
#include "core/nn/densenet.h"
#include "core/nn/gapnet.h"
#include "core/nn/inception_v3.h"
#include "core/nn/piotte.h"
#include "core/nn/resnet.h"
#include "core/nn/simplenet.h"
#include "core/nn/simplenet64.h"

namespace baleen {

void register_backbones(BackboneRegistry& registry) {
  add_resnets(registry);
  add_densenets(registry);
  add_simplenets(registry);
  add_simplenet64(registry);
  add_conv4(registry);
  add_inception_v3(registry);
  add_bninception(registry);
  add_piotte(registry);
  add_gapnet(registry);
  add_box_regressor(registry);
}

}  // namespace baleen
