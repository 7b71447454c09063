# fish completion for rbdiag, made by: rbdiag completion fish

function __rbdiag_complete
    set -l words (commandline -opc)
    set -l current (string unescape -- (commandline -ct))
    set -l answer (_RBDIAG_COMPLETE=fish command $words[1] $words[2..] $current 2>/dev/null)
    if test "$answer[1]" = files
        set -l stays (string match -r -- '^--[^=]*=' $current)
        for path in (__fish_complete_path (string replace -- "$stays" '' $current))
            printf '%s%s\n' "$stays" $path
        end
    else
        printf '%s\n' $answer[2..]
    end
end

complete -c rbdiag -f -k -a '(__rbdiag_complete)'
