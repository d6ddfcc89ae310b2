# cmake -DOUTPUT=file -DVERSION=0.1.0 -DROOT=folder -DHEADERS_FILE=list -P PluginStamp.cmake
# Writes the header by which program and plug-in tell whether they were built from the same headers.
file(STRINGS "${HEADERS_FILE}" headers)
set(all "")
foreach(header IN LISTS headers)
  file(SHA256 "${ROOT}/${header}" digest)
  string(APPEND all "${header} ${digest}\n")
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING "${digest}" 0 12 digest)
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT [[#pragma once

// Written by the build, see experiments/plugin.h.
#define BALEEN_VERSION_TEXT "@VERSION@"
#define BALEEN_HEADERS_DIGEST "@digest@"
]] @ONLY)
