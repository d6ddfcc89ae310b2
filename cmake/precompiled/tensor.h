// For files that pass tensors on.
#include <ATen/core/Tensor.h>

#include "cmake/precompiled/plain.h"
