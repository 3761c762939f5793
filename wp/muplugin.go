package wp

import _ "embed"

// muPlugin is the must-use plugin that serves login links and the hidden login page inside
// of a site. It is the only code of ours that stays there, and only while it is needed.
//
//go:embed php/mu/wptk.php
var muPlugin string
