/* Versions of tandem and of the libraries it runs with. */
#pragma once

#define VERSION_TEXT "tandem " PACKAGE_VERSION

void versions_print(void);
