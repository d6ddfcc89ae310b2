// For files that compute with tensors.
#include <ATen/ATen.h>

#include "cmake/precompiled/plain.h"
