/* Regular expressions of published tokenizers, as their tokenizer.json (or tiktoken's source) has
 * them: the specification that splitters written by hand are compared with. */
#ifndef ZH_MODEL_TOKENIZER_PUBLISHED_H
#define ZH_MODEL_TOKENIZER_PUBLISHED_H

#define ZH_TAIL "\\s+(?!\\S)|\\s+"
#define ZH_SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define ZH_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define ZH_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define ZH_GPT2_WORDS "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" ZH_TAIL
#define ZH_GPT4_WORDS(digits)                                                                      \
  ZH_SHORT_FORMS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                          \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" ZH_TAIL
#define ZH_QWEN35_WORDS                                                                            \
  ZH_SHORT_FORMS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+"       \
                 "[\\r\\n]*|\\s*[\\r\\n]+|" ZH_TAIL
#define ZH_O200K_WORDS                                                                             \
  "[^\\r\\n\\p{L}\\p{N}]?" ZH_UPPER "*" ZH_LOWER "+" ZH_SHORT_FORMS                                \
  "?|[^\\r\\n\\p{L}\\p{N}]?" ZH_UPPER "+" ZH_LOWER "*" ZH_SHORT_FORMS                              \
  "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|" ZH_TAIL
#define ZH_TEKKEN_WORDS                                                                            \
  "[^\\r\\n\\p{L}\\p{N}]?" ZH_UPPER "*" ZH_LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" ZH_UPPER "+" ZH_LOWER  \
  "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|" ZH_TAIL
#define ZH_DEEPSEEK3_WORDS                                                                         \
  "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?"             \
  "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|" ZH_TAIL
#define ZH_CJK_KANA "[一-龥぀-ゟ゠-ヿ]+"
#define ZH_CJK_WIDE "[一-龥ࠀ-一가-퟿]+"
#define ZH_CASED_LETTERS                                                                                                                                                                                           \
  "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-"                                                                  \
  "ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅ"                                                                                                                                                                                \
  "ὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-" \
  "ꞇ"                                                                                                                                                                                                            \
  "Ꞌ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-"                                                                                                          \
  "𞥃"
#define ZH_DEEPSEEK_SIGNS "[!-/:-~！-／：-～‘-‟　-。]+"

#endif
