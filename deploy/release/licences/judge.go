package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A licence is known by its words: nothing may be left out and nothing be added but a title
// and whose it is. A comparison that is content with nearly the same would let an added
// "not for commercial use" pass.
//
// All of these let a program under Apache-2.0 contain the module. MPL-2.0 asks for the source
// of that module alone, as it is: it is used unchanged, and the SBOM says where it is.
const (
	mitWords = `permission is hereby granted free of charge to any person obtaining a copy of this software and associated
documentation files the software to deal in the software without restriction including without limitation the rights to use copy
modify merge publish distribute sublicense and or sell copies of the software and to permit persons to whom the software is
furnished to do so subject to the following conditions the above copyright notice and this permission notice shall be included in
all copies or substantial portions of the software the software is provided as is without warranty of any kind express or implied
including but not limited to the warranties of merchantability fitness for a particular purpose and noninfringement in no event
shall the authors or copyright holders be liable for any claim damages or other liability whether in an action of contract tort or
otherwise arising from out of or in connection with the software or the use or other dealings in the software`

	bsdConditions = `redistribution and use in source and binary forms with or without modification are permitted provided that the
following conditions are met NUM redistributions of source code must retain the above copyright notice this list of conditions and
the following disclaimer NUM redistributions in binary form must reproduce the above copyright notice this list of conditions and the
following disclaimer in the documentation and or other materials provided with the distribution`
	bsdNames = ` NUM neither the name of NAME nor the names of its contributors may be used to endorse or promote products derived
from this software without specific prior written permission`
	bsdDisclaimer = ` this software is provided by the copyright holders and contributors as is and any express or implied warranties
including but not limited to the implied warranties of merchantability and fitness for a particular purpose are disclaimed in no
event shall the copyright HOLDER or contributors be liable for any direct indirect incidental special exemplary or consequential
damages including but not limited to procurement of substitute goods or services loss of use data or profits or business
interruption however caused and on any theory of liability whether in contract strict liability or tort including negligence or
otherwise arising in any way out of the use of this software even if advised of the possibility of such damage`

	iscWords = `permission to use copy modify and or distribute this software for any purpose with or without fee is hereby granted
provided that the above copyright notice and this permission notice appear in all copies the software is provided as is and the
author disclaims all warranties with regard to this software including all implied warranties of merchantability and fitness in no
event shall the author be liable for any special direct indirect or consequential damages or any damages whatsoever resulting from
loss of use data or profits whether in an action of contract negligence or other tortious action arising out of or in connection
with the use or performance of this software`
)

// byWords are licences that differ by a name.
var byWords = []struct {
	name  string
	words *regexp.Regexp
}{
	{"MIT", pattern(mitWords)},
	{"BSD-2-Clause", pattern(bsdConditions + bsdDisclaimer)},
	{"BSD-3-Clause", pattern(bsdConditions + bsdNames + bsdDisclaimer)},
	{"ISC", pattern(iscWords)},
}

// bySum are the SHA-256 of the words of texts that are the same everywhere, and of those that
// a person has read because they are like no other.
var bySum = map[string]string{
	"95f35d79ea3bab75c250549d6a03cef242e0547d78c99e26fcede49936fb0184": "Apache-2.0",
	"f82071285728ca3ec7685ee9bc4acdae0b8267142a4d20b8f1805eabedb4a98a": "MPL-2.0",
	"7a4d92cdb11d254973a073803be1148a5402f1b2ca67808cdb3ef78b596102cd": "Unlicense",
	"1083d3dcf348b5437bd8e7e1037901d706b4806df88f9025cda3386560b4e10b": "MIT AND Apache-2.0", // yaml.v3 names the files that came from libyaml
	"5021efcb25b1279cd0b9962f739ee735ec407d391289453e5a690b80f0b758d5": "BSD-3-Clause",       // tomb has its own name in front
}

// pattern turns a licence's words into an expression that all of a text has to fit.
func pattern(words string) *regexp.Regexp {
	words = strings.Join(strings.Fields(words), " ")
	words = strings.NewReplacer("NUM ", "(?:[1-3] )?", "NAME", "(?:[a-z0-9]+ ){0,7}[a-z0-9]+", "HOLDER", "(?:holder|owner)").Replace(words)
	return regexp.MustCompile(`^(?:(?:the )?(?:mit|isc|bsd [23] clause) license (?:mit |expat )?)?` + words + `$`)
}

var (
	// whose matches the lines that say whose it is.
	whose = regexp.MustCompile(`(?im)^[ \t]*(portions )?copyright[ \t]+(\(c\)|©|\d{4}|the ).*$|all rights reserved\.?`)
	word  = regexp.MustCompile(`[a-z0-9]+`)
)

// wordsOf is what a text says, without layout, punctuation, and whose it is.
func wordsOf(body []byte) string {
	return strings.Join(word.FindAllString(strings.ToLower(whose.ReplaceAllString(string(body), "")), -1), " ")
}

// recognise says which licence a text is.
func recognise(body []byte) (string, error) {
	words := wordsOf(body)
	sum := sha256.Sum256([]byte(words))
	if name := bySum[hex.EncodeToString(sum[:])]; name != "" {
		return name, nil
	}
	for _, known := range byWords {
		if known.words.MatchString(words) {
			return known.name, nil
		}
	}
	return "", fmt.Errorf("is none of the licences that are known to fit (words %x)", sum)
}

// judge reads a part's licences and says why it may not be passed on. Several texts in one
// module all apply: they are for different files of it.
func (p *part) judge() error {
	p.licence = "unknown"
	if err := p.read(); err != nil {
		return err
	}
	var names []string
	for _, t := range p.texts {
		if !licenceFile.MatchString(t.name) {
			continue
		}
		name, err := recognise(t.body)
		if err != nil {
			return fmt.Errorf("%s %w", t.name, err)
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return errors.New("no licence file")
	}
	p.licence = strings.Join(names, " AND ")
	return nil
}
