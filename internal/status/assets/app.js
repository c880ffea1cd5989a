// the page
"use strict"; // and so on, and so on, and so on
