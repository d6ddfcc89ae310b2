#pragma once

namespace baleen {

/// Makes this process keep the memory that it frees, in huge pages where the system offers them: a
/// training step frees and takes the same hundreds of megabytes again and again, and giving them
/// back in between means that the kernel maps and clears every page anew, up to a quarter of a step
/// for small images.
///
/// Call it first in main(). The environment's `MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_`
/// win over it.
void keep_freed_memory();

/// Gives what is free back to the system, e.g. between stages of different image sizes.
void release_freed_memory();

}  // namespace baleen
