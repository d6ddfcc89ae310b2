// As plain.h, for tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/precompiled/plain.h"
