# All compiler flags live on one target; four functions name what there is to build.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(ZMQ REQUIRED IMPORTED_TARGET libzmq)
pkg_check_modules(PROTOBUF_C REQUIRED IMPORTED_TARGET libprotobuf-c)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(DEFLATE REQUIRED IMPORTED_TARGET libdeflate)
find_library(SNAPPY_LIBRARY snappy REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)

add_library(standpipe_flags INTERFACE)
target_include_directories(standpipe_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
target_compile_definitions(standpipe_flags INTERFACE _GNU_SOURCE STANDPIPE_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${STANDPIPE_CRASH_POINTS}>:STANDPIPE_CRASH_POINTS>)
target_compile_options(standpipe_flags INTERFACE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
  -Wvla -Wundef -Wwrite-strings -Wno-missing-field-initializers -fno-omit-frame-pointer -fno-common
  $<$<BOOL:${STANDPIPE_WERROR}>:-Werror> $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2 -fstack-protector-strong>)
target_link_options(standpipe_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)
if(STANDPIPE_SANITIZE)
  target_compile_options(standpipe_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined)
  target_link_options(standpipe_flags INTERFACE -fsanitize=address,undefined)
endif()
if(STANDPIPE_TSAN)
  target_compile_options(standpipe_flags INTERFACE -fsanitize=thread)
  target_link_options(standpipe_flags INTERFACE -fsanitize=thread)
endif()
if(STANDPIPE_FUZZ)
  target_compile_options(standpipe_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# standpipe_library(name SOURCES a.c ... LINK lib ...): a static library of one folder.
function(standpipe_library name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} STATIC ${A_SOURCES})
  target_link_libraries(${name} PUBLIC standpipe_flags ${A_LINK})
endfunction()

# standpipe_daemon(name SOURCES main.c LINK lib ...): an executable that ships. `standpipe` itself goes to bin, the roles to libexec.
function(standpipe_daemon name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE standpipe_flags ${A_LINK})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
  if(name STREQUAL standpipe)
    install(TARGETS ${name} RUNTIME DESTINATION bin)
  else()
    install(TARGETS ${name} RUNTIME DESTINATION libexec/standpipe)
  endif()
endfunction()

# standpipe_test(name SOURCES x_test.c LINK lib ...): a cmocka program that ctest runs, with the label "unit".
function(standpipe_test name)
  cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE standpipe_flags ${A_LINK} cmocka)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 120
    ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1;STANDPIPE_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
endfunction()

# standpipe_fuzz(name SOURCES x_fuzz.c CORPUS dir LINK lib ...): a libFuzzer target; without STANDPIPE_FUZZ the same file is
# linked with a small main that replays its corpus, so that every run of the tests replays it.
function(standpipe_fuzz name)
  cmake_parse_arguments(A "" "CORPUS" "SOURCES;LINK" ${ARGN})
  if(STANDPIPE_FUZZ)
    add_executable(${name} ${A_SOURCES})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name} ${A_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.c)
    add_test(NAME ${name} COMMAND ${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${A_CORPUS})
    set_tests_properties(${name} PROPERTIES LABELS fuzz-replay TIMEOUT 120)
  endif()
  target_link_libraries(${name} PRIVATE standpipe_flags ${A_LINK})
endfunction()
